"""Cameras and objects on the grid of the latents: where they must be, by geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models import rasters

SIZE = (3, 4)
# Focal length of 1.5 heights in a frame of 3 x 4: from pixels of 1 / 4 and 1 / 3 of it.
INTRINSICS = np.array([[1.5 * 3 / 4, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1]])
SAME = np.eye(3)


def turn(angle):
    """Camera -> first camera, turned to the right by an angle."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rays(rotation=SAME, place=(0, 0, 0)):
    """Channels [H, W, 6] of a camera with INTRINSICS."""
    camera = np.c_[rotation @ np.linalg.inv(INTRINSICS), place][None, None]
    return np.asarray(rasters.ray_channels(jnp.array(camera), SIZE))[0, 0]


def test_rays_go_through_the_middles_of_latent_pixels():
    d = rays()[..., :3]
    np.testing.assert_allclose(np.linalg.norm(d, axis=-1), 1.0, atol=1e-6)
    places = d @ INTRINSICS.T
    places = places[..., :2] / places[..., 2:]
    np.testing.assert_allclose(places[1, :, 0], (np.arange(4) + 0.5) / 4, atol=1e-6)
    np.testing.assert_allclose(places[:, 2, 1], (np.arange(3) + 0.5) / 3, atol=1e-6)


def test_a_pan_turns_all_rays_and_a_roll_by_half_swaps_them():
    np.testing.assert_allclose(rays(turn(0.3))[..., :3], rays()[..., :3] @ turn(0.3).T, atol=1e-6)
    assert (rays(turn(0.3))[..., 0] > rays()[..., 0]).all()
    assert not rays(turn(0.3))[..., 3:].any()
    upside_down = np.diag([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(rays(upside_down), rays()[::-1, ::-1], atol=1e-6)


def test_moments_tell_rays_apart_and_not_the_points_on_them():
    place = np.array([0.3, -0.2, 1.5])
    moved = rays(SAME, place)
    np.testing.assert_allclose(moved[..., :3], rays()[..., :3], atol=1e-6)
    np.testing.assert_allclose(moved[..., 3:], np.cross(place, moved[..., :3]), atol=1e-6)
    along = rays(SAME, place + 2.0 * moved[1, 2, :3])
    np.testing.assert_allclose(along[1, 2], moved[1, 2], atol=1e-6)
    assert np.abs(along[0, 0] - moved[0, 0]).max() > 0.1


def raster(states, shots=None, size=SIZE):
    """Channels [T, H, W, ...] of {(frame, slot): state}, of all other slots nothing."""
    frames = 1 + max(frame for frame, _ in states)
    array = np.zeros((1, frames, rasters.SLOTS, 5), np.float32)
    for (frame, slot), state in states.items():
        array[0, frame, slot] = state
    shots = jnp.zeros((1, frames), int) if shots is None else jnp.array([shots])
    return np.asarray(jax.jit(rasters.state_channels, static_argnums=2)(array, shots, size))[0]


def test_an_object_is_in_the_latent_pixel_of_its_centre_alone():
    channels = raster({(0, 2): (0.6, 0.4, 2.0, 1 / 3, 0.5)})
    assert channels.shape == (1, *SIZE, rasters.STATES)
    assert np.argwhere(channels.any(-1)).tolist() == [[0, 1, 2]]
    count, *features = channels[0, 1, 2, :7]
    assert count == 1.0
    expected = [0.6 * 4 - 2.5, 0.4 * 3 - 1.5, 0.0, 0.0, np.log(2.0), 0.0]
    np.testing.assert_allclose(features, expected, atol=1e-6)
    np.testing.assert_array_equal(channels[0, 1, 2, 7:], 0.5 * np.eye(rasters.SLOTS)[2])


@pytest.mark.parametrize("place", [(-0.01, 0.5), (1.0, 0.5), (0.5, 1.2), (0.5, -3.0)])
def test_objects_out_of_the_frame_or_not_there_are_nowhere(place):
    assert not raster({(0, 0): (*place, 2.0, 0.1, 1.0)}).any()
    assert not raster({(0, 0): (0.0, 0.0, 0.0, 0.0, 0.0)}).any()


def test_the_way_is_that_to_the_next_latent_frame_of_the_shot():
    states = {(t, 0): (0.1 + 0.25 * t, 0.5, 2.0, 0.1, 1.0) for t in range(4)}
    ways = lambda channels: channels[..., 3:5].sum((1, 2))  # noqa: E731
    np.testing.assert_allclose(ways(raster(states)), [[1, 0]] * 3 + [[0, 0]], atol=1e-6)
    cut = ways(raster(states, shots=[0, 0, 1, 1]))
    np.testing.assert_allclose(cut, [[1, 0], [0, 0], [1, 0], [0, 0]], atol=1e-6)
    states[2, 0] = (0.0,) * 5  # it is gone
    np.testing.assert_allclose(ways(raster(states)), [[1, 0]] + [[0, 0]] * 3, atol=1e-6)
    twice = ways(raster(states, size=(3, 8)))
    np.testing.assert_allclose(twice[0], [2, 0], atol=1e-6)


def test_no_way_is_longer_than_the_frame():
    past = {(0, 0): (0.5, 0.5, 2.0, 0.2, 1.0), (1, 0): (4e4, -7e5, 1e-5, 9.0, 0.0)}
    (way, _) = raster(past)[..., 3:5].sum((1, 2))
    np.testing.assert_allclose(way, [SIZE[1], -SIZE[0]])


def test_of_objects_in_one_latent_pixel_the_means_are_told_and_who_they_are():
    channels = raster({(0, 0): (0.55, 0.5, 2.0, 1 / 3, 0.5), (0, 5): (0.7, 0.5, 8.0, 1 / 3, 0.25)})[
        0, 1, 2
    ]
    np.testing.assert_allclose(channels[0], 2.0)
    np.testing.assert_allclose(channels[1], np.mean([0.55, 0.7]) * 4 - 2.5, atol=1e-6)
    np.testing.assert_allclose(channels[5], np.log(4.0), rtol=1e-6)
    found = {slot: share for slot, share in enumerate(channels[7:]) if share}
    assert found == {0: 0.5, 5: 0.25}
