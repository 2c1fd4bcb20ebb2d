"""Clips that are not finite are not shown, and it is said where that began."""

import json
import types

import jax
import numpy as np
import pytest

from seedance_jax.pretrained import codec
from seedance_jax.sampling import files
from seedance_jax.sampling import pipeline as pipeline_module
from seedance_jax.sampling.nonfinite import NonFiniteClip, find_fault
from seedance_jax.sampling.preparation import Prepared
from seedance_jax.training.finiteness import NonFiniteError

REQUEST = {"num_inference_steps": 3, "guidance_scale": 1.0}


def spoil(clip, step, value=np.nan):
    """A callback that makes one value of the latents of a clip not finite at a step."""

    def callback(pipeline, i, t, state):
        latents = np.array(state["latents"])
        if i == step:
            latents[clip, -1, 0, 0, 0] = value
        return {"latents": latents}

    return callback


@pytest.mark.parametrize("output_type", ["np", "latent"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_latents_name_clip_and_step_and_those_before_are_kept(pipeline, output_type, value):
    request = {**REQUEST, "output_type": output_type, "num_videos_per_prompt": 3, "seed": 7}
    whole = pipeline("a red ball", **request).frames
    said = r"^clip 1: the latents are not finite after 2 of 3 steps \(prompt='a red ball', seed=8,"
    with pytest.raises(NonFiniteClip, match=said) as error:
        pipeline("a red ball", **request, callback_on_step_end=spoil(1, 1, value))
    assert error.value.before.shape == whole[:1].shape
    np.testing.assert_allclose(error.value.before, whole[:1], atol=1)


def test_too_much_guidance_is_an_error_and_no_black_clip(pipeline):
    said = r"clip 0: the latents are not finite after 1 of 3 steps .*guidance_scale=3.4e\+38"
    with pytest.raises(NonFiniteError, match=said):
        pipeline("a red ball", **REQUEST | {"guidance_scale": 3.4e38})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_not_finite_are_no_colours(pipeline, monkeypatch, stream, value):
    """Latents are, and the last bias of the decoder is not: infinities would become white."""
    params = jax.device_get(pipeline.weights["params"])
    params["decoder"]["conv_out"]["bias"] = np.full_like(
        params["decoder"]["conv_out"]["bias"], value
    )
    monkeypatch.setattr(pipeline, "weights", {**pipeline.weights, "params": params})
    if stream:
        monkeypatch.setattr(pipeline_module, "STREAM_FRAMES", 1)
    with pytest.raises(NonFiniteClip, match="clip 0: the frames are not finite, of finite latents"):
        pipeline("a red ball", **REQUEST)
    pipeline("a red ball", **REQUEST, output_type="latent")
    with pytest.raises(NonFiniteError, match="clip 0 is not finite as the autoencoder returns it"):
        pipeline.reconstruct(np.zeros((1, 9, 32, 32, 3), np.uint8))


def test_given_frames_are_named_if_it_is_their_latents(pipeline, monkeypatch):
    params = jax.device_get(pipeline.weights["params"])
    params["encoder"] = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params["encoder"])
    monkeypatch.setattr(pipeline, "weights", {**pipeline.weights, "params": params})
    with pytest.raises(NonFiniteClip, match="clip 0: the latents of the given frames are not"):
        pipeline("a red ball", image=np.zeros((32, 32, 3), np.uint8), **REQUEST)


def test_the_first_step_of_the_first_clip_is_found():
    latents = np.ones((3, 2, 2, 2, 4))
    latents[1:, 0] = np.nan
    fine = np.array([True, True, True])
    flags = [fine, fine, np.array([True, True, False]), np.array([True, False, False])]
    assert find_fault(latents, flags) == (1, "latents are not finite after 3 of 3 steps")


def test_finite_video_is_clipped_and_nothing_else():
    video = np.array([-2.0, -1.0, 0.3, 1.0, 7.0, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(
        codec.limit(video), np.float32([-1, -1, 0.3, 1, 1, np.nan, np.nan, np.nan])
    )


def request_of(pipeline, prompt, **settings):
    return Prepared(pipeline.prepare(prompt, **REQUEST | settings), {}, [])


@pytest.mark.parametrize("output_type", ["mp4", "np", "latent"])
def test_clips_before_a_bad_one_are_written_and_it_is_named_by_its_number(
    pipeline, tmp_path, output_type
):
    prepared = [
        request_of(pipeline, "a cube"),
        request_of(pipeline, "a ball", guidance_scale=3.4e38),
        request_of(pipeline, "a cup"),
    ]
    written = files.write_clips(pipeline, prepared, tmp_path, {}, output_type=output_type)
    suffix = "mp4" if output_type == "mp4" else "npy"
    assert next(written) == tmp_path / f"0000.{suffix}"
    with pytest.raises(NonFiniteError, match="clip 1: the latents are .*prompt='a ball'"):
        list(written)
    assert {path.name[:4] for path in tmp_path.iterdir()} == {"0000"}
    assert json.loads((tmp_path / "0000.json").read_text())["prompt"] == "a cube"


def test_the_sheet_of_several_clips_is_called_by_their_numbers(pipeline, tmp_path):
    """Numbers that another run takes in between are not among them."""
    frames = np.zeros((2, 9, 32, 32, 3), np.uint8)
    plan = pipeline.prepare("a cube", num_videos_per_prompt=2, **REQUEST)
    made = types.SimpleNamespace(metadata={"fps": 12}, run=lambda plan, output_type: frames)
    told = []
    for path in files.write_clips(made, [Prepared(plan, {}, [])], tmp_path, {}):
        told.append(path.name)
        if len(told) == 1:
            (tmp_path / "0001.json").write_text("of another run")
    assert told == ["0000.mp4", "0002.mp4", "sheet_0000-0002.png"]
    assert all((tmp_path / name).is_file() for name in told)
