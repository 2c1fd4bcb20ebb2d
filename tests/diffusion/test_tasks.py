import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.diffusion import flow, tasks

WEIGHTS = {"text_to_video": 0.6, "image_to_video": 0.2}


@functools.cache
def draws(task, frames):
    """200 masks of a task."""
    given, images = tasks.sample_conditions(jax.random.key(0), 200, frames, {task: 1.0})
    return np.asarray(given), np.asarray(images)


def patterns(task, frames=4):
    return {"".join(map(str, row.astype(int))) for row in draws(task, frames)[0]}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("text_to_video", {"0000"}),
        ("image_to_video", {"1000"}),
        ("last_frame", {"0001"}),
        ("first_and_last", {"1001"}),
        ("extension_forward", {"1000", "1100", "1110"}),
        ("extension_backward", {"0001", "0011", "0111"}),
        ("in_between", {"1001"}),
    ],
)
def test_masks_say_which_latent_frames_are_given(task, expected):
    assert patterns(task) == expected


def test_of_two_latent_frames_an_extension_gives_one():
    assert (patterns("extension_forward", 2), patterns("extension_backward", 2)) == ({"10"}, {"01"})


def test_clips_are_joined_in_all_ways_that_leave_something_between():
    assert patterns("in_between", 5) == {"10001", "11001", "10011", "11011"}


def test_arbitrary_frames_are_any_but_all():
    assert patterns("any_frames", 3) == {f"{n:03b}" for n in range(7)}


@pytest.mark.parametrize("task", sorted(tasks.MASKS))
def test_something_is_always_left_to_generate(task):
    assert not draws(task, 1)[0].any()
    assert not draws(task, 2)[0].all(1).any()


@pytest.mark.parametrize("task", sorted(tasks.MASKS))
def test_images_are_given_frames_after_the_first(task):
    given, images = draws(task, 4)
    assert not images[:, 0].any()
    expected = given[:, 1:] if task in tasks.GIVE_IMAGES else 0 * given[:, 1:]
    np.testing.assert_array_equal(images[:, 1:], expected)


def test_tasks_are_drawn_in_proportion_to_their_weights():
    masks = np.asarray(tasks.sample_conditions(jax.random.key(0), 8000, 5, WEIGHTS)[0])
    assert masks.shape == (8000, 5)
    assert not masks[:, 1:].any()
    np.testing.assert_allclose(masks[:, 0].mean(), 0.25, atol=0.02)


def test_given_frames_are_dropped_as_often_as_said():
    draw = functools.partial(tasks.sample_conditions, jax.random.key(1), 8000, 3)
    given, images = draw({"first_and_last": 1.0}, 0.3)
    np.testing.assert_allclose(given[:, 0].mean(), 0.7, atol=0.02)
    np.testing.assert_array_equal(given[:, 0], given[:, 2])
    np.testing.assert_array_equal(images[:, 2], given[:, 2])


def test_which_task_is_drawn_and_whether_it_is_dropped_are_independent():
    draw = functools.partial(tasks.sample_conditions, jax.random.key(2), 4000, 3)
    given, _ = draw({"first_and_last": 1.0, "image_to_video": 1.0}, 0.5)
    kept = np.asarray(given)[given.any(1)]
    np.testing.assert_allclose(len(kept) / 4000, 0.5, atol=0.03)
    np.testing.assert_allclose(kept[:, 2].mean(), 0.5, atol=0.04)


def test_a_task_of_weight_0_is_never_drawn():
    weights = {"text_to_video": 0.0, "image_to_video": 2.0}
    assert tasks.sample_conditions(jax.random.key(0), 500, 2, weights)[0][:, 0].all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"video_to_text": 1.0}, "unknown tasks \\['video_to_text'\\]; legal tasks: .*text_to_vid"),
        ({"text_to_video": -1.0, "image_to_video": 3.0}, "must be >= 0"),
        ({"text_to_video": 0.0}, "positive sum"),
        ({}, "positive sum"),
    ],
)
def test_wrong_weights_are_errors(weights, message):
    with pytest.raises(ValueError, match=message):
        tasks.check_weights(weights)


@pytest.mark.parametrize("t", [0.3, jnp.array([0.1, 0.5, 0.9]), jnp.array([[0.2], [0.7]])])
def test_given_frames_are_shown_clean_at_time_0(t):
    x0, noise = jax.random.normal(jax.random.key(0), (2, 2, 3, 1, 2, 4))
    mask = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    xt = flow.interpolate(x0, noise, jnp.broadcast_to(t, mask.shape))
    seen, times = tasks.show_given(xt, t, x0, mask)
    given = np.asarray(mask, bool)
    np.testing.assert_array_equal(np.asarray(seen)[given], np.asarray(x0)[given])
    np.testing.assert_array_equal(np.asarray(times)[given], 0.0)
    np.testing.assert_array_equal(np.asarray(seen)[~given], np.asarray(xt)[~given])
    np.testing.assert_allclose(times[~given], jnp.broadcast_to(t, mask.shape)[~given])


def test_an_image_given_later_stands_still_in_its_latent_frame():
    video = np.arange(18, dtype=np.uint8).reshape(2, 9)[..., None, None, None]
    held = tasks.hold_images(jnp.array(video), jnp.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    expected = [[0, 1, 2, 3, 4, 5, 5, 5, 5], [9, 10, 10, 10, 10, 14, 15, 16, 17]]
    np.testing.assert_array_equal(held[..., 0, 0, 0], expected)
    np.testing.assert_array_equal(tasks.hold_images(video[:, :1], jnp.zeros((2, 1))), video[:, :1])
