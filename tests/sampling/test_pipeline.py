"""The pipeline with random weights: what it promises does not depend on training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax.models.generator import example_inputs
from seedance_jax.models.vae import VAE
from seedance_jax.sampling import runs
from seedance_jax.sampling.pipeline import Pipeline, generate

PROMPT = "a red ball"


@pytest.fixture(scope="module")
def pipeline():
    vae = VAE(
        latent_channels=4,
        patch=16,
        encoder_widths=(8, 8, 8),
        decoder_widths=(8, 8, 8),
        strides=((2, 1), (2, 1)),
        encoder_blocks=(0, 0, 0),
        decoder_blocks=(0, 0, 0),
        linear_ends=True,
    )
    text = {"width": 16, "depth": 1, "heads": 2, "max_words": 6}
    model = {"width": 16, "depth": 1, "heads": 2, "window": (2, 2)}
    generator = runs.build_generator(text, model, 4)
    keys = jax.random.split(jax.random.key(0), 3)
    weights = {
        "params": nn.unbox(vae.init(keys[0], jnp.zeros((1, 5, 16, 16, 3)))["params"]),
        "mean": jnp.zeros(4),
        "std": jnp.ones(4),
    }
    params = nn.unbox(generator.init(keys[1], *example_inputs(4, 32))["params"])
    leaves, tree = jax.tree.flatten(params)
    noisy = [
        leaf + 0.2 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, jax.random.split(keys[2], len(leaves)), strict=True)
    ]
    metadata = {"buckets": [[5, 32, 32], [1, 32, 32]], "text_length": 32, "fps": 12}
    params = jax.tree.unflatten(tree, noisy)
    return Pipeline(generator, params, vae, weights, {"text": text}, metadata)


def test_shapes_and_defaults(pipeline):
    out = pipeline(PROMPT, num_inference_steps=2)
    assert out.frames.shape == (1, 5, 32, 32, 3)
    assert out.frames.dtype == np.uint8
    assert out.settings[0]["trained_size"]


def test_seed_decides_the_clip_whatever_else_is_in_the_batch(pipeline):
    both = pipeline([PROMPT, "a blue cube"], num_inference_steps=2, seed=7).frames
    second = pipeline("a blue cube", num_inference_steps=2, seed=8).frames
    other = pipeline("a blue cube", num_inference_steps=2, seed=9).frames
    assert np.abs(both[1].astype(int) - second[0]).max() <= 1
    assert np.abs(other[0].astype(int) - second[0]).max() > 1


def test_given_first_frame_comes_back_through_the_autoencoder(pipeline):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    first = pipeline(PROMPT, image=image, num_inference_steps=2).frames[0, 0]
    other = pipeline("a cube", image=image, num_inference_steps=3, seed=5).frames[0, 0]
    np.testing.assert_allclose(first.astype(int), other, atol=1)


def test_guidance_one_ignores_the_negative_prompt(pipeline):
    kwargs = {"num_inference_steps": 2, "guidance_scale": 1.0}
    a = pipeline(PROMPT, negative_prompt="blue", **kwargs).frames
    b = pipeline(PROMPT, negative_prompt="", **kwargs).frames
    np.testing.assert_array_equal(a, b)
    kwargs["guidance_scale"] = 3.0
    a = pipeline(PROMPT, negative_prompt="blue", **kwargs).frames
    b = pipeline(PROMPT, negative_prompt="", **kwargs).frames
    assert (a != b).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_frames": 6}, "6 frames.*5 or 9"),
        ({"height": 40}, "height 40.*32 or 48"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "a b c d e f g"}, "7 words.*at most 5"),
        ({"prompt": "x" * 40}, "41 tokens"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"guidance_scale": -1.0}, r"guidance_scale=-1\.0"),
        ({"seed": -1}, "seed=-1"),
        ({"solver": "rk4"}, "euler.*heun"),
        ({"image": np.zeros((16, 16, 3), np.uint8)}, r"\(16, 16, 3\).*\(32, 32, 3\)"),
        ({"image": np.zeros((32, 32, 3), np.uint8), "num_frames": 1}, "leaves nothing"),
        ({"image": [np.zeros((32, 32, 3), np.uint8)] * 2}, "2 images for 1 prompts"),
    ],
)
def test_bad_requests_say_what_is_legal(pipeline, arguments, said):
    with pytest.raises(ValueError, match=said):
        pipeline.prepare(**{"prompt": PROMPT, **arguments})


def test_the_network_sees_given_frames_on_the_straight_way():
    """Between their noise and themselves, as in training, whatever it says about them."""
    seen = []

    class Network:
        def apply(self, variables, *args, method):
            if method == "encode_text":
                return (None,) * 3
            x, t = args[:2]
            jax.debug.callback(lambda x, t: seen.append((x, t)), x, t[0])
            return jnp.full_like(x, 1e3)

    class Codec:
        def apply(self, variables, latents, method):
            return latents

    shape = (2, 1, 1, 4)
    given = jnp.full((1, *shape), 0.25)
    noise = jax.random.normal(jax.random.key(3), shape)
    weights = {"params": {}, "mean": 0.0, "std": 1.0}
    frames = generate(
        Network(),
        Codec(),
        {},
        weights,
        (),
        (),
        given,
        jnp.array([[1.0, 0.0]]),
        jnp.array([3]),
        shape=shape,
        steps=4,
        guidance_scale=1.0,
        solver="euler",
    )
    jax.effects_barrier()
    assert len(seen) == 4
    for x, t in seen:
        np.testing.assert_allclose(x[0, 0], (1 - t) * given[0, 0] + t * noise[0], atol=1e-5)
    np.testing.assert_allclose(frames[0, 0], given[0, 0], atol=1e-5)
    assert np.abs(frames[0, 1]).max() == 1.0
