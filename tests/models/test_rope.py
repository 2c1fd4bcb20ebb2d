import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import rope

HEAD_SIZE = 16


def scores(query, key, positions):
    table = rope.rope_table(positions, HEAD_SIZE)
    return jnp.einsum("qnk,pnk->nqp", rope.rotate(query, table), rope.rotate(key, table))


def test_scores_depend_on_differences_of_positions_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 24, 2, HEAD_SIZE))
    positions = rope.video_positions(2, 3, 4, start=0).reshape(-1, 3)
    moved = positions + jnp.array([5, 11, 3])
    np.testing.assert_allclose(scores(query, key, positions), scores(query, key, moved), atol=1e-4)
    stretched = scores(query, key, positions * 2)
    assert np.abs(scores(query, key, positions) - stretched).max() > 0.1


def test_rotation_keeps_lengths():
    x = jax.random.normal(jax.random.key(0), (5, 2, HEAD_SIZE))
    y = rope.rotate(x, rope.rope_table(rope.text_positions(5), HEAD_SIZE))
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)


def test_text_is_on_the_diagonal_and_the_video_starts_after_it():
    text, video = rope.text_positions(4), rope.video_positions(2, 3, 5, start=4)
    np.testing.assert_array_equal(text, [[p, p, p] for p in range(4)])
    np.testing.assert_array_equal(video[0, 0, 0], [4, 4, 4])
    np.testing.assert_array_equal(video[1, 2, 3], [5, 6, 7])


def test_each_axis_turns_its_own_share_of_the_head():
    origin, _ = rope.rope_table(jnp.zeros((1, 3), int), HEAD_SIZE)
    turned = []
    for axis in range(3):
        cos, _ = rope.rope_table(jnp.eye(3, dtype=int)[axis : axis + 1], HEAD_SIZE)
        turned.append(np.flatnonzero(cos[0] != origin[0]))
    assert tuple(map(len, turned)) == rope.axis_pairs(HEAD_SIZE)
    assert len(np.unique(np.concatenate(turned))) == HEAD_SIZE // 2


def test_the_head_of_128_is_split_as_published():
    assert rope.axis_pairs(128) == (8, 28, 28)


@pytest.mark.parametrize("head_size", [4, 15])
def test_a_head_without_a_pair_per_axis_is_an_error(head_size):
    with pytest.raises(ValueError, match=f"head size {head_size} must be even and at least 6"):
        rope.axis_pairs(head_size)
