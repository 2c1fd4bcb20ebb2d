import types

import numpy as np
import pytest

from seedance_jax.data import schema, sources
from seedance_jax.data.loader import num_shots
from seedance_jax.data.video import decode_mp4
from seedance_jax.evaluation import generation
from seedance_jax.sampling.shots import parse_prompt, shot_lengths

SPLIT = "held_out_combinations"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data section of a config with 12 clips of SPLIT on disk; 10 or more have one shot."""
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
        self.config, self.metadata, self.calls = {"data": data}, {"fps": 12}, []
        source = sources.open_split(data, SPLIT)
        rows = [source[index] for index in range(len(source))]
        self._clips = {row["caption"]: change(decode_mp4(row["video"])[0]) for row in rows}

    def __call__(self, prompt, image=None, last_image=None, **settings):
        self.calls.append({"prompt": prompt, "image": image, "last": last_image, **settings})
        texts = [next(iter(parse_prompt(text).captions.values())) for text in prompt]
        return types.SimpleNamespace(frames=np.stack([self._clips[text] for text in texts]))

    def reconstruct(self, frames, batch_size):
        return frames


def evaluate(data, change, **settings):
    pipeline = FakePipeline(data, change)
    report, sheet = generation.evaluate_generator(pipeline, SPLIT, 6, 4, **settings)
    return report, sheet, pipeline


def test_true_clips_pass(data):
    report, sheet, _ = evaluate(data, lambda clip: clip)
    assert report["split"] == SPLIT
    assert report["clips"] == 6
    for part in ("text_to_video", "image_to_video", "first_and_last"):
        assert report[part].items() >= report["true"].items()
    assert report["true"]["moving"] == 1.0
    for name in ("color", "shape", "direction", "camera"):
        assert report["true"][f"{name}_accuracy"] >= 0.8
    assert report["first_and_last"]["autoencoder_psnr_last_frame"] == float("inf")
    assert report["image_to_video"]["autoencoder_first_jump"] == 1
    assert report["two_shots"]["text_to_video"] == report["two_shots"]["true"]
    # Its only cut is from a grey floor to a grey floor, which no judge has to see.
    for name in ("has_object", "same_color", "color_accuracy"):
        assert report["two_shots"]["true"][name] == 1.0
    assert report["image_to_video"]["first_jump"] == pytest.approx(1.0, abs=0.01)
    assert sheet.height > 6 * 128


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
    assert report["first_and_last"]["autoencoder_psnr_last_frame"] < 30
    assert report["two_shots"]["text_to_video"]["cut_in_place"] == 0.0


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
    text, image, both = (pipeline.calls[start : start + 2] for start in (0, 2, 4))
    for calls in (text, image, both):
        assert [len(call["prompt"]) for call in calls] == [4, 4]
        assert [call["seed"] for call in calls] == [5, 9]
    for call in pipeline.calls:
        assert call["guidance_scale"] == 2.0
        assert (call["num_frames"], call["height"], call["width"]) == (17, 64, 64)
        assert "num_inference_steps" not in call
    assert all(call["image"] is None for call in text)
    source = sources.open_split(data, SPLIT)
    [fifth] = np.flatnonzero(num_shots(source.table) == 1)[4:5]
    clip = decode_mp4(source[int(fifth)]["video"])[0]
    np.testing.assert_array_equal(image[1]["image"][0], clip[0])
    np.testing.assert_array_equal(both[1]["last"][0], clip[-1])


def test_clips_of_several_shots_are_asked_for_as_they_are_recorded(data):
    source = sources.open_split(data, SPLIT)
    rows = [source[int(row)] for row in np.flatnonzero(num_shots(source.table) == 2)]
    assert rows
    report, _, pipeline = evaluate(data, lambda clip: clip)
    assert report["two_shots"]["clips"] == len(rows)
    asked = [text for call in pipeline.calls for text in call["prompt"]]
    scripts = [parse_prompt(text) for text in asked if text.startswith("{")]
    for row in rows:
        shots = schema.read_shots(row)
        script = next(s for s in scripts if s.captions[schema.GLOBAL] == row["caption"])
        assert script.captions == schema.captions_of(row["caption"], shots)
        assert shot_lengths(script, 17, 12) == tuple(shot.num_frames for shot in shots)


def test_refuses_what_it_cannot_judge(data):
    with pytest.raises(ValueError, match="no split 'validation'"):
        generation.evaluate_generator(FakePipeline(data, lambda clip: clip), "validation")
    with pytest.raises(ValueError, match="num_prompts=0"):
        generation.evaluate_generator(FakePipeline(data, lambda clip: clip), SPLIT, 0)
    with pytest.raises(ValueError, match=rf"num_prompts=9999 must be from 1 to \d+: .*{SPLIT}"):
        generation.evaluate_generator(FakePipeline(data, lambda clip: clip), SPLIT, 9999)
