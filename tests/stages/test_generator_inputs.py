"""What a batch becomes: the latents that a generator learns, and the conditions that it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pretrain
from seedance_jax.data import ground_truth, schema
from seedance_jax.diffusion import tasks
from seedance_jax.models import conditioning, rasters
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.vae import VAE
from seedance_jax.stages import generator_inputs

BATCH, SHAPE = 16, (3, 2, 2, schema.LATENT_CHANNELS)
MEAN = np.linspace(-3.0, 3.0, schema.LATENT_CHANNELS).astype(np.float32)
STD = np.linspace(0.2, 5.0, schema.LATENT_CHANNELS).astype(np.float32)
FROZEN = {"vae": {"mean": MEAN, "std": STD}}


@pytest.fixture(scope="module")
def batch():
    """Latents with the statistics of FROZEN, and stills that are all 100 times as far off."""
    rng = np.random.default_rng(0)
    latents = MEAN + STD * rng.standard_normal((BATCH, *SHAPE)).astype(np.float32)
    return {
        "latents": latents,
        "stills": MEAN + 100 * (latents - MEAN),
        "text": np.ones((BATCH, 5), np.int32),
        "text_mask": np.ones((BATCH, 5), bool),
        "text_shot": np.zeros((BATCH, 5), np.int32),
        "frame_shot": np.zeros((BATCH, 3), np.int32),
        "fps": np.full(BATCH, 12.0, np.float32),
    }


def read(batch, task, dropout=0.0, vae=None, frozen=FROZEN, motion_captions=0.0):
    config = pretrain.get_config("smoke").unlock()
    config.tasks, config.condition_dropout = {task: 1.0}, dropout
    config.motion_captions = motion_captions
    own = generator_inputs.make_read(config, vae, generator_inputs.as_batched)
    return own(jax.random.key(0), batch, frozen)


def test_the_record_and_the_batch_have_the_same_names():
    assert Condition._fields == tuple(schema.CONDITION)
    assert set(Condition._fields) - schema.EXAMPLE.keys() == set(schema.DRAWN)
    assert {"fps", *schema.TRUTH} == set(conditioning.ADAPTERS)
    assert rasters.SLOTS == schema.STATE_SLOTS
    assert ground_truth.READERS.keys() == set(schema.TRUTH)


def test_latents_are_learned_with_mean_0_and_deviation_1_of_every_channel(batch):
    x0, _ = read(batch, "text_to_video")
    np.testing.assert_allclose(x0.mean((0, 1, 2, 3)), 0.0, atol=0.35)
    np.testing.assert_allclose(x0.std((0, 1, 2, 3)), 1.0, atol=0.25)
    np.testing.assert_allclose(x0 * STD + MEAN, batch["latents"], rtol=1e-4, atol=1e-4)


def test_videos_are_encoded_to_latents_of_the_same_statistics(random_params):
    strides = {"strides": ((2, 1), (2, 1)), "linear_ends": True}
    widths = {name: (8, 8, 8) for name in ("encoder_widths", "decoder_widths")}
    blocks = {name: (0, 0, 0) for name in ("encoder_blocks", "decoder_blocks")}
    vae = VAE(latent_channels=4, patch=16, **widths, **blocks, **strides)
    video = np.random.default_rng(0).integers(0, 256, (2, 9, 32, 32, 3), np.uint8)
    params = random_params(vae.init, jnp.zeros((1, 5, 16, 16, 3)))["params"]
    batch = {"video": video, "frame_shot": np.zeros((2, 3), int)}
    batch |= dict.fromkeys(("text", "text_mask", "text_shot"), np.ones((2, 3), int))
    plain, moved = (
        read(batch, "text_to_video", vae=vae, frozen={"vae": {"params": params, **statistics}})[0]
        for statistics in (
            {"mean": np.zeros(4), "std": np.ones(4)},
            {"mean": np.arange(4.0), "std": np.array([0.5, 1.0, 2.0, 4.0])},
        )
    )
    expected = (plain - np.arange(4.0)) / np.array([0.5, 1.0, 2.0, 4.0])
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", sorted(tasks.MASKS))
def test_images_that_are_given_later_are_stills_and_everything_else_is_not(batch, task):
    x0, condition = read(batch, task)
    size = np.abs(np.asarray(x0)).mean((2, 3, 4))
    held = np.asarray(condition.given_mask, bool) & (task in tasks.GIVE_IMAGES)
    held[:, 0] = False
    np.testing.assert_array_equal(size > 20.0, held)
    assert held.any() == (task in tasks.GIVE_IMAGES)


def test_the_condition_is_that_of_the_batch_and_of_the_drawn_task(batch):
    x0, condition = read(batch, "image_to_video")
    for name in ("text", "text_mask", "text_shot", "frame_shot", "fps"):
        np.testing.assert_array_equal(getattr(condition, name), batch[name])
    np.testing.assert_array_equal(condition.given, x0)
    np.testing.assert_array_equal(condition.given_mask, [[1.0, 0.0, 0.0]] * BATCH)
    _, dropped = read(batch, "image_to_video", dropout=0.5)
    assert 0 < dropped.given_mask.sum() < BATCH


def captions(batch, task, share, dropout=0.0):
    """(condition, whether each sample has the motion-only caption) of a task; row 0 has none."""
    shape = batch["text"].shape
    told = np.arange(shape[0])[:, None] > np.zeros(shape)
    own = batch | {"motion_text": np.full(shape, 9, np.int32), "motion_text_mask": told}
    own |= {"text_shot": np.ones(shape, np.int32)}
    _, condition = read(own, task, dropout, motion_captions=share)
    moving = np.asarray(condition.text == 9)
    assert (moving.all(1) == moving.any(1)).all()
    np.testing.assert_array_equal(condition.text_shot, np.where(moving, 0, 1))
    np.testing.assert_array_equal(condition.text_mask, True)
    return condition, moving.any(1)


def test_a_share_of_image_to_video_is_told_what_moves_alone(batch):
    many = {name: np.repeat(array, 20, 0) for name, array in batch.items()}
    condition, moving = captions(many, "image_to_video", 0.25)
    np.testing.assert_allclose(moving.mean(), 0.25, atol=0.08)
    assert condition.given_mask[:, 0].all()
    _, again = captions(many, "image_to_video", 0.25)
    np.testing.assert_array_equal(moving, again)


@pytest.mark.parametrize("task", sorted(tasks.MASKS))
def test_a_motion_only_caption_never_comes_without_the_first_frame_or_with_others(batch, task):
    condition, moving = captions(batch, task, 1.0, dropout=0.5)
    first_alone = np.asarray(condition.given_mask).tolist()
    expected = np.array([mask == [1.0, 0.0, 0.0] for mask in first_alone])
    expected[0] = False  # of which no motion-only caption is known
    np.testing.assert_array_equal(moving, expected)
    if task == "image_to_video":
        assert 0 < moving.sum() < BATCH - 1


def test_images_that_are_given_later_stand_still_in_the_videos_that_are_encoded(monkeypatch):
    seen = []

    def encode(vae, weights, video):
        assert (vae, weights) == ("vae", "weights")
        seen.append(np.asarray(video))
        return jnp.zeros((2, 3, 1, 1, 4))

    monkeypatch.setattr(generator_inputs.codec, "encode", encode)
    video = np.broadcast_to(
        np.arange(9, dtype=np.uint8)[None, :, None, None, None], (2, 9, 2, 2, 3)
    )
    batch = {"video": video, "frame_shot": np.zeros((2, 3), int)}
    batch |= dict.fromkeys(("text", "text_mask", "text_shot"), np.ones((2, 3), int))
    for task in ("first_and_last", "text_to_video"):
        read(batch, task, vae="vae", frozen={"vae": "weights"})
    held, plain = (np.rint((clip[:, :, 0, 0, 0] + 1) * 127.5) for clip in seen)
    np.testing.assert_array_equal(held, [[0, 1, 2, 3, 4, 5, 5, 5, 5]] * 2)
    np.testing.assert_array_equal(plain, [range(9)] * 2)


@pytest.mark.parametrize("task", ["extension_forward", "any_frames"])
def test_what_is_shown_as_given_is_what_a_step_is_given(batch, task):
    config = pretrain.get_config("smoke").unlock()
    config.tasks, config.condition_dropout = {task: 1.0}, 0.0
    shown = generator_inputs.example_mask(config, batch, 3)
    own = generator_inputs.make_read(config, None, generator_inputs.as_batched)
    key = jax.random.fold_in(jax.random.key(config.seed), 3)
    np.testing.assert_array_equal(shown, own(key, batch, FROZEN)[1].given_mask)
    assert shown.any()
