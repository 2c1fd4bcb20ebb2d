import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.diffusion import solvers
from seedance_jax.models.conditioning import Condition
from seedance_jax.pretrained import codec
from seedance_jax.sampling import pipeline as pipeline_module
from seedance_jax.sampling import sampler
from seedance_jax.sampling.pipeline import Pipeline

PROMPT = "a red ball"
SHOTS = "Shot 1: a cube Shot 2: sky"
RNG = np.random.default_rng(0)
IMAGE, OTHER, *MORE = RNG.integers(0, 256, (13, 32, 32, 3)).astype(np.uint8)
CLIP = np.stack(MORE)

# One batch of all tasks.
TASKS = {
    "prompt": [PROMPT, "a cube", SHOTS, "sky", "a cup", "no"],
    "image": [None, IMAGE, IMAGE, None, None, None],
    "last_image": [None, None, OTHER, None, None, None],
    "video": [None, None, None, CLIP[:5], None, None],
    "frames": [None, None, None, None, {5: CLIP[:4]}, {0: IMAGE, 2: OTHER}],
    "num_inference_steps": 2,
    "guidance_scale": 2.0,
    "image_guidance_scale": 1.5,
    "guidance_rescale": 0.3,
    "guidance_interval": (0.0, 0.9),
    "solver": "multistep",
    "seed": 7,
}


@pytest.fixture(scope="module")
def batch(pipeline):
    return pipeline(**TASKS)


def one(row):
    """The request of one clip of TASKS."""
    own = {name: value[row] for name, value in TASKS.items() if isinstance(value, list)}
    return {**TASKS, **own, "seed": TASKS["seed"] + row}


def test_shapes_and_defaults(batch):
    assert batch.frames.shape == (6, 9, 32, 32, 3)
    assert batch.frames.dtype == np.uint8
    assert [settings["seed"] for settings in batch.settings] == list(range(7, 13))
    assert all(settings["trained_size"] for settings in batch.settings)
    assert batch.settings[5]["given_frames"] == [0, 2]
    assert batch.settings[2]["shots"] == [
        {"prompt": "a cube", "num_frames": 5},
        {"prompt": "sky", "num_frames": 4},
    ]


def test_seed_decides_the_clip_whatever_else_is_in_the_batch(pipeline, batch):
    alone = pipeline(**one(2)).frames
    assert np.abs(alone[0].astype(int) - batch.frames[2]).max() <= 1
    other = pipeline(**one(2) | {"seed": 3}).frames
    assert np.abs(other[0].astype(int) - batch.frames[2]).max() > 1


def test_a_prompt_may_be_sampled_several_times(pipeline, batch):
    row = one(2)
    twice = pipeline(**row | {"num_videos_per_prompt": 2, "seed": 8})
    assert [settings["seed"] for settings in twice.settings] == [8, 9]
    assert np.abs(twice.frames[1].astype(int) - batch.frames[2]).max() <= 1


@pytest.mark.parametrize("sizes", [{"sequence": -1}, {"data": 2, "tensor": 2, "sequence": 2}])
def test_the_same_clips_come_from_eight_devices(parts, pipeline, sizes):
    # Two windows, for devices to share.
    tall = np.concatenate([IMAGE, OTHER])
    request = {
        "prompt": [PROMPT, SHOTS],
        "image": [None, tall],
        "last_image": [tall, None],
        "height": 64,
        "num_inference_steps": 2,
        "output_type": "latent",
    }
    expected = pipeline(**request).frames
    latents = Pipeline(*parts, mesh=sharding.make_mesh(**sizes))(**request).frames
    np.testing.assert_allclose(latents, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_are_put_on_the_device_once(parts):
    host = jax.device_get((parts[1], parts[3]))
    own = Pipeline(*parts[:1], host[0], parts[2], host[1], *parts[4:])
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves((own._params, own.weights)))


def test_an_autoencoder_of_other_strides_is_refused(parts):
    generator, params, vae, *rest = parts
    other = vae.clone(strides=((2, 1), (1, 1)))
    with pytest.raises(ValueError, match=r"compresses 2 times in time .* need \(4, 16\)"):
        Pipeline(generator, params, other, *rest)


def test_clips_come_back_from_the_autoencoder(parts, pipeline):
    clips = np.stack([CLIP[:9], CLIP[8::-1]])
    expected = np.stack([through_autoencoder(parts, clip) for clip in clips])
    np.testing.assert_allclose(pipeline.reconstruct(clips, 1), expected, atol=1)


def through_autoencoder(parts, clip):
    _, _, vae, weights, _, _ = parts
    latents = codec.encode(vae, weights, codec.from_bytes(clip[None]))
    return codec.to_bytes(codec.decode(vae, weights, latents))[0]


def test_given_frames_come_back_as_the_autoencoder_returns_them(parts, batch):
    still = through_autoencoder(parts, np.stack([OTHER] * 5))
    clip = through_autoencoder(parts, CLIP[:5])
    first = through_autoencoder(parts, IMAGE[None])
    inner = through_autoencoder(parts, np.concatenate([CLIP[:1], CLIP[:4]]))
    frames = batch.frames.astype(int)
    for row, places, expected in (
        (1, [0], first),
        (2, [0], first),
        (2, [5, 6, 7, 8], still[1:]),
        (3, [0, 1, 2, 3, 4], clip),
        (4, [5, 6, 7, 8], inner[1:]),
        (5, [0], first),
        (5, [1, 2, 3, 4], through_autoencoder(parts, np.stack([IMAGE, *[OTHER] * 4]))[1:]),
    ):
        np.testing.assert_allclose(frames[row, places], expected, atol=1, err_msg=str(row))


def test_clips_are_extended_backward_too(parts, pipeline):
    request = {"video": CLIP[:4], "extend": "backward", "num_inference_steps": 1}
    out = pipeline(PROMPT, **request, guidance_scale=1.0)
    expected = through_autoencoder(parts, np.concatenate([CLIP[:1], CLIP[:4]]))[1:]
    np.testing.assert_allclose(out.frames[0, 5:].astype(int), expected, atol=1)
    assert out.settings[0]["extend"] == "backward"


def test_guidance_one_ignores_the_negative_prompt(pipeline):
    def clip(negative_prompt, scale):
        settings = {"num_inference_steps": 1, "guidance_scale": scale, "num_frames": 1}
        return pipeline(PROMPT, negative_prompt=negative_prompt, **settings).frames

    np.testing.assert_array_equal(clip("blue", 1.0), clip("", 1.0))
    assert (clip("blue", 3.0) != clip("", 3.0)).any()


def test_a_callback_sees_and_may_change_the_latents_of_every_step(pipeline):
    seen = []

    def callback(pipe, i, t, tensors):
        assert pipe is pipeline
        seen.append((i, t, np.asarray(tensors["latents"])))
        return {"latents": 0 * tensors["latents"]} if i == 2 else None

    settings = {"num_inference_steps": 3, "guidance_scale": 1.0, "num_frames": 1}
    latents = pipeline(
        PROMPT, **settings, callback_on_step_end=callback, output_type="latent"
    ).frames
    assert [i for i, _, _ in seen] == [0, 1, 2]
    assert seen[0][1] == 1.0
    assert all(x.shape == (1, 1, 2, 2, 4) for _, _, x in seen)
    assert not latents.any()
    assert latents.dtype == np.float32


@pytest.mark.parametrize("solver", sorted(solvers.SOLVERS))
@pytest.mark.parametrize("keep", [False, True])
def test_other_prompts_seeds_steps_scales_and_tasks_compile_nothing(
    parts, compiled, capsys, request, keep, solver
):
    if keep:
        request.getfixturevalue("kept")
    pipeline = Pipeline(*parts)
    small = {"num_frames": 5, "height": 16, "width": 16, "solver": solver}
    pipeline.warm_up(pipeline.prepare(PROMPT, guidance_scale=3.0, **small))
    assert "step" in compiled
    compiled.clear()
    for steps, more in enumerate(({"guidance_scale": 2.0}, {"seed": 3}, {"seed": 4}), 1):
        pipeline("Shot 1: a", num_inference_steps=steps, **small, **more)
    assert not compiled
    image = IMAGE[:16, :16]
    for given in ({"image": image, "seed": 3}, {"last_image": image}, {"image": OTHER[:16, :16]}):
        pipeline("Shot 1: a", num_inference_steps=2, **small, **given)
    assert set(compiled) <= {"encode_chunk"}  # once for a first frame, twice for others
    assert len(compiled) <= 3
    assert (
        capsys.readouterr().out.count("compiling, unless the cache has it: 5x16x16, 1 clip, ") == 1
    )


def test_long_clips_are_decoded_in_pieces(pipeline, monkeypatch):
    request = {"num_inference_steps": 1, "guidance_scale": 1.0}
    whole = pipeline(PROMPT, **request).frames
    monkeypatch.setattr(pipeline_module, "STREAM_FRAMES", 2)
    pieces = pipeline(PROMPT, **request).frames
    assert pieces.shape == whole.shape
    assert np.abs(pieces.astype(int) - whole).max() <= 1


def test_guidance_of_a_distilled_checkpoint_is_warned_of(parts):
    *rest, metadata = parts
    pipeline = Pipeline(*rest, metadata | {"guidance_distilled": True})
    assert pipeline.prepare(PROMPT).settings[0]["guidance_scale"] == 1.0
    with pytest.warns(UserWarning, match="distilled.*guidance_scale=1"):
        pipeline.prepare(PROMPT, guidance_scale=4.0)


def test_unknown_output_types_are_errors(pipeline):
    with pytest.raises(ValueError, match="output_type='pil'; legal types: np, latent"):
        pipeline(PROMPT, output_type="pil")


class Network:
    """Predicts nonsense and keeps what it sees."""

    def __init__(self):
        self.seen = []

    def apply(self, variables, *args, method):
        if method == "encode_text":
            return args[0]
        self.seen.append(args)
        return jnp.full_like(args[0], 1e3)


@pytest.mark.parametrize("solver", sorted(solvers.SOLVERS))
def test_the_network_sees_given_frames_as_in_training(solver):
    """Clean at time 0 where they are given, and as noisy as the others where they are dropped."""
    network, shape, t = Network(), (2, 1, 1, 4), 0.75
    given = np.full((1, *shape), 0.25, np.float32)
    text = [jnp.zeros((1, 3))] * 3
    condition = Condition(*text, jnp.zeros((1, 2)), given, jnp.array([[1.0, 0.0]]))
    names = ("positive", "unconditional")
    seeds = jnp.array([3])
    noise, conditions = sampler.begin(network, {}, condition, condition, seeds, names=names)
    weights = {"positive": 2.0, "unconditional": -1.0}
    now = jax.tree.map(lambda x: x[0], solvers.SOLVERS[solver].prepare(jnp.array([t, 0.5, 0.0])))
    x = (1 - t) * given + t * noise
    start, settings = (noise, conditions, weights), sampler.StepSettings(solver)
    state, _ = sampler.step(
        network, {}, state=solvers.start(x), now=now, start=start, settings=settings
    )
    xt, times, condition = network.seen[0]
    np.testing.assert_array_equal(xt[0, 0], given[0, 0])
    np.testing.assert_array_equal(xt[1], x[0])
    np.testing.assert_array_equal(times, [[0.0, t], [t, t]])
    np.testing.assert_array_equal(condition.given_mask, [[1.0, 0.0], [0.0, 0.0]])
    # The state goes the straight way, whatever the network says.
    np.testing.assert_allclose(state[0, 0], (given + noise)[0, 0] / 2, atol=1e-6)
