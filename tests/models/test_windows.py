import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.models import windows

SIZE = (5, 7)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (1, 2)])
@pytest.mark.parametrize("window", [(2, 3), (5, 7), (3, 3), (8, 8)])
def test_windows_tile_the_frame_from_a_shift_outside_of_it(window, shift):
    """Window (i, j) holds the rows i * rows - shift to one window further, and columns alike."""
    rows, columns = np.indices(SIZE) + 1  # 0 is padding
    places = jnp.stack([jnp.array(rows), jnp.array(columns)], -1)[None, None]
    cut = np.asarray(windows.to_windows(places, window, shift))[0, 0]
    count = [-(-(size + s) // w) for size, s, w in zip(SIZE, shift, window, strict=True)]
    assert cut.shape == (count[0] * count[1], window[0] * window[1], 2)
    for number, found in enumerate(cut):
        expected = np.zeros((*window, 2), int)
        start = [i * w - s for i, w, s in zip(divmod(number, count[1]), window, shift, strict=True)]
        for row in range(window[0]):
            for column in range(window[1]):
                place = (start[0] + row, start[1] + column)
                if all(0 <= p < size for p, size in zip(place, SIZE, strict=True)):
                    expected[row, column] = np.add(place, 1)
        np.testing.assert_array_equal(found, expected.reshape(-1, 2))
    assert (cut.reshape(-1, 2)[:, 0] > 0).sum() == SIZE[0] * SIZE[1]
    back = windows.from_windows(jnp.array(cut)[None, None], window, shift, SIZE)
    np.testing.assert_array_equal(back, places)


def test_frames_are_joined_in_their_order():
    x = jnp.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    flat = windows.flat_frames(x)
    assert flat.shape == (2, 12, 5)
    np.testing.assert_array_equal(flat[1, 4:8], x[1, 1])


def test_frames_or_heads_are_divided_over_the_devices_of_a_sequence():
    mesh = sharding.make_mesh(data=2, sequence=2, tensor=2)
    x = jnp.arange(2 * 4 * 5 * 4 * 3.0).reshape(2, 4, 5, 4, 3)
    with jax.set_mesh(mesh):
        apart = jax.jit(windows.heads_apart)(x)
        back = jax.jit(windows.frames_apart)(apart)
    for found, spec in (
        (apart, (("data", "fsdp"), None, None, ("sequence", "tensor"), None)),
        (back, (("data", "fsdp"), "sequence", None, "tensor", None)),
    ):
        np.testing.assert_array_equal(found, x)
        wanted = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        assert found.sharding.is_equivalent_to(wanted, x.ndim)
