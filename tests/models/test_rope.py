import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import rope

HEAD_SIZE = 16


def scores(query, key, positions):
    table = rope.rope_table(positions, HEAD_SIZE)
    return jnp.einsum("qnk,pnk->nqp", rope.rotate(query, table), rope.rotate(key, table))


def grid(frames, height, width, start=0):
    """Positions of a block of latents on the diagonal, three arrays [T * H * W]."""
    axes = jnp.meshgrid(*map(jnp.arange, (frames, height, width)), indexing="ij")
    return tuple(axis.reshape(-1) + start for axis in axes)


def test_scores_depend_on_differences_of_positions_only():
    query, key = jax.random.normal(jax.random.key(0), (2, 24, 2, HEAD_SIZE))
    positions = grid(2, 3, 4)
    moved = tuple(axis + offset for axis, offset in zip(positions, (5, 11, 3), strict=True))
    np.testing.assert_allclose(scores(query, key, positions), scores(query, key, moved), atol=1e-4)
    stretched = scores(query, key, tuple(2 * axis for axis in positions))
    assert np.abs(scores(query, key, positions) - stretched).max() > 0.1


def test_rotation_keeps_lengths():
    x = jax.random.normal(jax.random.key(0), (24, 2, HEAD_SIZE))
    y = rope.rotate(x, rope.rope_table(grid(2, 3, 4), HEAD_SIZE))
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)


def place(shots, valid, frame_shot, size):
    """text [valid], time and origin [T] of `group_positions`, as lists."""
    arrays = jnp.array(shots), jnp.arange(len(shots)) < valid, jnp.array(frame_shot)
    text, time, origin = rope.group_positions(*arrays, size)
    return text[:valid].tolist(), time.tolist(), origin.tolist()


def test_the_video_of_one_shot_starts_after_its_caption_whatever_the_padding():
    expected = [0, 1, 2, 3], [4, 5], [4, 4]
    assert place([0] * 4, 4, [0, 0], (3, 5)) == expected
    assert place([0] * 9, 4, [0, 0], (3, 5)) == expected


def test_a_shot_starts_after_the_largest_extent_of_the_one_before():
    shots = [0, 0, 1, 1, 1, 7]
    assert place(shots, 5, [0, 0, 1], (3, 5)) == ([0, 1, 7, 8, 9], [2, 3, 10], [2, 2, 10])
    assert place(shots, 5, [0] * 6 + [1], (3, 5))[0] == [0, 1, 8, 9, 10]


def test_the_global_caption_comes_first_with_room_for_a_frame():
    text, time, origin = place([-1, -1, 0, 1], 4, [0, 1, 1], (2, 3))
    assert text == [0, 1, 5, 9]
    assert (time, origin) == ([6, 10, 11], [6, 10, 10])
    # Also of one that was left out, of which its start token stays.
    assert place([-1, 0, 1], 3, [0, 1, 1], (2, 3)) == ([0, 4, 8], [5, 9, 10], [5, 9, 9])


def test_tables_of_a_clip_are_those_of_its_positions():
    arrays = [jnp.array([row]) for row in ([0, 0, 1], [True] * 3, [0, 1, 1])]
    video, text = rope.clip_positions(*arrays, (2, 3))
    assert video.shape == (1, 3, 2, 3, 3)
    np.testing.assert_array_equal(video[0, 2, 1, 2], (7, 6 + 1, 6 + 2))
    np.testing.assert_array_equal(text[0, 2], (5, 5, 5))
    expected = rope.rope_table((jnp.array(7), jnp.array(6 + 1), jnp.array(6 + 2)), HEAD_SIZE)
    table = rope.joined_table(video, HEAD_SIZE)[0, 2, 1, 2]
    np.testing.assert_allclose(table, np.concatenate(expected), atol=1e-6)


def test_each_axis_turns_its_own_share_of_the_head():
    origin, _ = rope.rope_table((jnp.zeros(1),) * 3, HEAD_SIZE)
    turned = []
    for axis in range(3):
        cos, _ = rope.rope_table(tuple(jnp.ones(1) * (i == axis) for i in range(3)), HEAD_SIZE)
        turned.append(np.flatnonzero(cos[0] != origin[0]))
    assert tuple(map(len, turned)) == rope.axis_pairs(HEAD_SIZE)
    assert len(np.unique(np.concatenate(turned))) == HEAD_SIZE // 2


def test_every_axis_turns_from_once_per_position_to_a_ten_thousandth_of_it():
    position = 3
    for axis, pairs in enumerate(rope.axis_pairs(HEAD_SIZE)):
        places = tuple(jnp.ones(1) * (i == axis) * position for i in range(3))
        cos, sin = rope.rope_table(places, HEAD_SIZE)
        start = sum(rope.axis_pairs(HEAD_SIZE)[:axis])
        turned = jnp.arctan2(sin, cos)[0, start : start + pairs]
        np.testing.assert_allclose(turned, position * 1e4 ** (-np.arange(pairs) / pairs), rtol=1e-5)


def test_the_head_of_128_is_split_as_published():
    assert rope.axis_pairs(128) == (8, 28, 28)


@pytest.mark.parametrize("head_size", [4, 15])
def test_a_head_without_a_pair_per_axis_is_an_error(head_size):
    with pytest.raises(ValueError, match=f"head size {head_size} must be even and at least 6"):
        rope.axis_pairs(head_size)
