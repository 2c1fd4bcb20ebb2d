import types

import numpy as np
import pytest

from seedance_jax.data import sources
from seedance_jax.data.loader import num_shots
from seedance_jax.data.video import decode_mp4
from seedance_jax.evaluation import generation

SPLIT = "held_out_combinations"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data section of a config with 12 clips of SPLIT on disk, 10 or more of a single shot."""
    world = {"slice": "tiny", "num_frames": 17, "height": 64, "width": 64, "fps": 12, SPLIT: 12}
    data = {
        "source": "world",
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "world": world,
        "buckets": [[1, 64, 64, 8, 1.0], [17, 64, 64, 2, 4.0]],
        "num_processes": 1,
    }
    sources.build(data)
    return data


class FakePipeline:
    """Returns the true clip of a caption after `change`, and remembers what it was asked."""

    def __init__(self, data, change):
        self.config, self.calls = {"data": data}, []
        source = sources.open_split(data, SPLIT)
        rows = [source[index] for index in range(len(source))]
        self._clips = {row["caption"]: change(decode_mp4(row["video"])[0]) for row in rows}

    def __call__(self, prompt, image=None, **settings):
        self.calls.append({"prompt": prompt, "image": image, **settings})
        return types.SimpleNamespace(frames=np.stack([self._clips[text] for text in prompt]))


def evaluate(data, change, **settings):
    pipeline = FakePipeline(data, change)
    report, sheet = generation.evaluate_generator(pipeline, SPLIT, 10, 4, **settings)
    return report, sheet, pipeline


def test_true_clips_pass(data):
    report, sheet, _ = evaluate(data, lambda clip: clip)
    assert report["split"] == SPLIT
    assert report["clips"] == 10
    for part in ("true", "text_to_video", "image_to_video"):
        assert report[part]["moving"] == 1.0
        assert report[part]["color_accuracy"] >= 0.9
    assert report["image_to_video"]["first_jump"] == pytest.approx(1.0, abs=0.01)
    assert sheet.height > 10 * 128


def test_wrong_colors_fail(data):
    report, _, _ = evaluate(data, lambda clip: np.ascontiguousarray(clip[..., [2, 0, 1]]))
    assert report["text_to_video"]["color_accuracy"] <= 0.4
    assert report["text_to_video"]["moving"] == 1.0
    assert report["image_to_video"]["autoencoder_psnr_first_frame"] < 30
    assert report["true"]["color_accuracy"] >= 0.9


def test_stills_are_frozen(data):
    report, _, _ = evaluate(data, lambda clip: clip[:1].repeat(len(clip), 0))
    assert report["text_to_video"]["moving"] == 0.0
    assert report["text_to_video"]["motion"] == 0.0
    assert report["image_to_video"]["first_jump"] == 0.0


def test_a_cut_after_the_given_frame_is_a_jump(data):
    cut = lambda clip: np.concatenate([clip[:1], clip[1:, :, ::-1]])  # noqa: E731
    results = [evaluate(data, change)[0]["image_to_video"] for change in (lambda clip: clip, cut)]
    assert len({result["autoencoder_psnr_first_frame"] for result in results}) == 1
    assert results[1]["first_jump"] > 2


def test_noise_has_no_object_and_does_not_count_as_moving(data):
    rng = np.random.default_rng(0)
    report, _, _ = evaluate(data, lambda clip: rng.integers(0, 256, clip.shape, np.uint8))
    assert report["text_to_video"]["has_object"] == 0.0
    assert report["text_to_video"]["moving"] == 0.0


def test_every_batch_has_one_shape_and_every_clip_its_seed(data):
    *_, pipeline = evaluate(data, lambda clip: clip, seed=5, guidance_scale=2.0)
    text, image = pipeline.calls[:3], pipeline.calls[3:]
    for calls in (text, image):
        assert [len(call["prompt"]) for call in calls] == [4, 4, 4]
        assert [call["seed"] for call in calls] == [5, 9, 13]
    for call in pipeline.calls:
        assert call["guidance_scale"] == 2.0
        assert (call["num_frames"], call["height"], call["width"]) == (17, 64, 64)
        assert "num_inference_steps" not in call
    assert all(call["image"] is None for call in text)
    source = sources.open_split(data, SPLIT)
    [fifth] = np.flatnonzero(num_shots(source.table) == 1)[4:5]
    first = decode_mp4(source[int(fifth)]["video"])[0][0]
    np.testing.assert_array_equal(image[1]["image"][0], first)


def test_clips_of_several_shots_are_left_out(data):
    source = sources.open_split(data, SPLIT)
    cut = np.flatnonzero(num_shots(source.table) == 2)
    assert len(cut)
    *_, pipeline = evaluate(data, lambda clip: clip)
    asked = {text for call in pipeline.calls for text in call["prompt"]}
    assert not asked & {source[int(row)]["caption"] for row in cut}


def test_refuses_what_it_cannot_judge(data):
    with pytest.raises(ValueError, match="no split 'validation'"):
        generation.evaluate_generator(FakePipeline(data, lambda clip: clip), "validation")
    with pytest.raises(ValueError, match="num_prompts=0"):
        generation.evaluate_generator(FakePipeline(data, lambda clip: clip), SPLIT, 0)
