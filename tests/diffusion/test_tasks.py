import jax
import numpy as np
import pytest

from seedance_jax.diffusion import tasks

WEIGHTS = {"text_to_video": 0.6, "image_to_video": 0.2}


def test_masks_say_which_latent_frames_are_given():
    np.testing.assert_array_equal(tasks.MASKS["text_to_video"](4), [0, 0, 0, 0])
    np.testing.assert_array_equal(tasks.MASKS["image_to_video"](4), [1, 0, 0, 0])


def test_tasks_are_drawn_in_proportion_to_their_weights():
    masks = np.asarray(tasks.sample_condition_mask(jax.random.key(0), 8000, 5, WEIGHTS))
    assert masks.shape == (8000, 5)
    assert not masks[:, 1:].any()
    np.testing.assert_allclose(masks[:, 0].mean(), 0.25, atol=0.02)


def test_a_task_of_weight_0_is_never_drawn():
    weights = {"text_to_video": 0.0, "image_to_video": 2.0}
    assert tasks.sample_condition_mask(jax.random.key(0), 500, 2, weights)[:, 0].all()


def test_of_an_image_nothing_is_given():
    assert not tasks.sample_condition_mask(jax.random.key(0), 9, 1, {"image_to_video": 1.0}).any()


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
