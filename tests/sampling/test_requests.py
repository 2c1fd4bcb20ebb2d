"""What is checked before anything is computed."""

import numpy as np
import pytest

from seedance_jax.data import schema
from seedance_jax.pretrained import generators
from seedance_jax.sampling.given import collect, fill_group, groups_of
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.sampling.sizes import RATIOS, SIZES, resolve_size
from tests.random_pipeline import MODEL, TEXT

PROMPT = "a red ball"
IMAGE = np.zeros((32, 32, 3), np.uint8)


def clip(length):
    return np.zeros((length, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_frames": 6}, "6 frames.*5 or 9"),
        ({"num_frames": "9"}, "num_frames='9': must be an integer"),
        ({"num_frames": 9.0}, r"num_frames=9\.0: must be an integer"),
        ({"height": 4096000, "width": 640}, "height=4096000, width=640 are 23592960000 pixels"),
        ({"num_frames": 2**31 - 3}, "num_frames=2147483645, .* at most 2147483648"),
        ({"height": 40}, "height 40.*32 or 48"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": None}, "prompt=None must be text"),
        ({"prompt": []}, "empty list"),
        ({"prompt": "a b c d e f g"}, "7 words.*at most 5"),
        ({"prompt": "Shot 1: a b c Shot 2: d e"}, "5 words.*at most 4: in 2 captions"),
        ({"prompt": "x" * 40}, "40 tokens.*at most 31"),
        ({"prompt": "x" * 400}, "400 tokens.*at most 31: 'x{76}[.]{3}$"),
        ({"negative_prompt": "a b c d e f g"}, "negative_prompt has 7 words"),
        ({"negative_prompt": None}, "negative_prompt=None is not text"),
        ({"num_frames": 0}, r"num_frames=0: must be 1, 5, 9, ... \(4n\+1\)"),
        ({"height": -16}, "height=-16: must be 16, 32, 48, ..."),
        ({"width": 2**31}, "width=2147483648: must be from 1 to 2147483647"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: must be from 1 to 1000"),
        ({"num_videos_per_prompt": 0}, "num_videos_per_prompt=0"),
        ({"guidance_scale": -1.0}, r"guidance_scale=-1\.0"),
        ({"guidance_scale": "4"}, "guidance_scale='4'"),
        ({"image_guidance_scale": float("nan")}, "image_guidance_scale=nan"),
        ({"image_guidance_scale": 2.0}, "image_guidance_scale=2.0 without a given frame"),
        ({"guidance_rescale": 1.5}, "guidance_rescale=1.5.*at most 1"),
        ({"guidance_interval": (0.8, 0.2)}, r"guidance_interval=\(0.8, 0.2\)"),
        ({"guidance_interval": (0.5, 0.5)}, r"guidance_interval=\(0.5, 0.5\).*low below high"),
        ({"guidance_interval": 0.5}, "guidance_interval=0.5"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**31 - 2, "num_videos_per_prompt": 3}, "last clip, 2147483648, is above"),
        ({"solver": "rk4"}, "euler.*heun.*multistep"),
        ({"size": "480"}, "size='480'; legal sizes: .*480p"),
        ({"image": "a.png"}, "image='a.png' is text"),
        ({"image": IMAGE.tolist()}, "32 image for 1 prompts"),
        ({"image": IMAGE[:16, :16]}, r"\(16, 16, 3\).*\(32, 32, 3\)"),
        ({"image": IMAGE / 255}, "float64"),
        ({"image": clip(5)}, r"image is uint8 \(5, 32, 32, 3\); must be uint8 \(32, 32, 3\)"),
        ({"last_image": clip(1)}, r"last_image is uint8 \(1, 32, 32, 3\)"),
        ({"image": IMAGE, "num_frames": 1}, "leave nothing"),
        ({"image": [IMAGE] * 2}, "2 image for 1 prompts"),
        ({"image": IMAGE, "video": clip(5)}, "frame 0 is given twice, by image and video"),
        ({"last_image": IMAGE, "frames": {8: IMAGE}}, r"frame 8 is given twice, by last_image and"),
        ({"video": clip(6)}, "video has 6 frames.*multiple of 4 and 1: cut it to 5"),
        (
            {"video": clip(5), "extend": "backward"},
            "video has 5 frames.*multiple of 4: cut it to 4",
        ),
        ({"video": clip(9)}, "video has 9 frames, num_frames=9.*give 13 or more"),
        ({"video": clip(12), "extend": "backward"}, "give 13 or more"),
        ({"video": IMAGE}, r"video is uint8 \(32, 32, 3\)"),
        ({"extend": "up"}, "extend='up'"),
        ({"frames": {9: IMAGE}}, r"frames\[9\] has frames 9 to 9; num_frames=9 has 0 to 8"),
        ({"frames": {-1: IMAGE}}, "frames -1 to -1"),
        ({"frames": {"1": IMAGE}}, "must be an integer, got '1'"),
        ({"frames": {2: clip(4)}}, "a clip must begin at frame 0 or 4n"),
        (
            {"frames": {0: IMAGE, 2: IMAGE, 8: IMAGE}},
            "3 given frames of num_frames=9 leave nothing",
        ),
        ({"frames": 3}, "frames must be"),
    ],
)
def test_bad_requests_say_what_is_legal(pipeline, arguments, said):
    with pytest.raises(ValueError, match=said):
        pipeline.prepare(**{"prompt": PROMPT, **arguments})


def test_durations_decide_the_number_of_frames(pipeline):
    plan = pipeline.prepare("Shot 1 (1s): a Shot 2 (1s): b")
    assert plan.settings[0]["num_frames"] == 25
    np.testing.assert_array_equal(plan.shared["frame_shot"], [[0, 0, 0, 0, 1, 1, 1]])
    with pytest.raises(ValueError, match=r"last \[13, 25\] frames"):
        pipeline.prepare(["Shot 1 (1s): a", "Shot 1 (2s): a"])


def test_the_negative_prompt_stands_in_the_place_of_every_caption(pipeline):
    plan = pipeline.prepare("c Shot 1: a Shot 2: b", negative_prompt="de")
    for text in (plan.text, plan.negative):
        mask = text["text_mask"]
        used = text["text_shot"][mask]
        assert list(used[np.sort(np.unique(used, return_index=True)[1])]) == [-1, 0, 1]
        assert (text["text"][mask] > 0).all()
    assert plan.text["text_mask"].sum() == 6
    assert plan.negative["text_mask"].sum() == 9


def test_the_frame_rate_is_that_of_the_model_and_an_image_has_none(pipeline):
    fps = pipeline.metadata["fps"]
    np.testing.assert_array_equal(pipeline.prepare([PROMPT] * 2).shared["fps"], [fps, fps])
    assert np.isnan(pipeline.prepare(PROMPT, num_frames=1).shared["fps"]).all()


def test_a_model_that_knows_frame_rates_is_asked_for_any(pipeline, parts):
    pipeline.prepare(PROMPT, fps=12)
    with pytest.raises(ValueError, match="fps=24: the model was trained on 12 and knows no other"):
        pipeline.prepare(PROMPT, fps=24)
    _, params, *others = parts
    knowing = Pipeline(
        generators.build_generator(TEXT, {**MODEL, "conditions": ("fps",)}, 4), params, *others
    )
    plan = knowing.prepare([PROMPT] * 2, fps=24)
    np.testing.assert_array_equal(plan.shared["fps"], [24, 24])
    assert plan.settings[0]["fps"] == 24
    cut = "Shot 1 (0.6667s): a Shot 2 (0.6667s): b"
    frames = [knowing.prepare(cut, fps=fps).settings[0]["num_frames"] for fps in (12, 24)]
    assert frames == [17, 33]
    with pytest.raises(ValueError, match="fps=24 does nothing with num_frames=1: an image has"):
        knowing.prepare(PROMPT, fps=24, num_frames=1)
    knowing.prepare(PROMPT, fps=12, num_frames=1)  # as sidecars have it
    for illegal in (0, -1, "12", float("nan"), 241):
        with pytest.raises(ValueError, match="fps=.*must be a number above 0 and at most 240"):
            knowing.prepare(PROMPT, fps=illegal)


@pytest.fixture(scope="module")
def knowing(parts):
    """A pipeline of a model that knows gravity, cameras and states of objects."""
    _, params, *others = parts
    fields = {**MODEL, "conditions": schema.TRUTH}
    return Pipeline(generators.build_generator(TEXT, fields, 4), params, *others)


def test_a_model_is_told_what_it_knows_and_nothing_of_what_the_request_leaves_out(
    pipeline, knowing
):
    assert pipeline.prepare(PROMPT).shared.keys() == {"frame_shot", "fps"}
    camera = np.random.default_rng(0).standard_normal((3, 3, 4))
    plan = knowing.prepare([PROMPT] * 2, gravity=1.6, camera=camera)
    shared, settings = plan.shared, plan.settings[1]
    np.testing.assert_array_equal(shared["gravity"], np.float32([1.6, 1.6]))
    np.testing.assert_array_equal(shared["camera"], np.float32([camera] * 2))
    assert shared["states"].shape == (2, 3, schema.STATE_SLOTS, 5)
    assert np.isnan(shared["states"]).all()
    assert settings["gravity"] == 1.6
    np.testing.assert_array_equal(settings["camera"], camera)
    assert "states" not in settings
    for name, value in knowing.prepare(PROMPT, num_frames=1).shared.items():
        assert name == "frame_shot" or np.isnan(value).all()


def test_what_a_model_does_not_know_cannot_be_told(pipeline, knowing):
    for name in schema.TRUTH:
        with pytest.raises(ValueError, match=f"^{name} is .* --config.model.conditions={name}"):
            pipeline.prepare(PROMPT, **{name: 1.0})
    for illegal in (0, -9.81, "9.81", float("nan")):
        with pytest.raises(ValueError, match="gravity=.*must be a number above 0"):
            knowing.prepare(PROMPT, gravity=illegal)
    with pytest.raises(ValueError, match=r"camera of shape \[2, 3, 4\] must be \[3, 3, 4\] finite"):
        knowing.prepare(PROMPT, camera=np.zeros((2, 3, 4)))
    states = np.zeros((3, schema.STATE_SLOTS, 5))
    knowing.prepare(PROMPT, states=states)
    with pytest.raises(ValueError, match="states of shape .* finite"):
        knowing.prepare(PROMPT, states=states + np.inf)
    states[1, 0] = [0.5, 0.5, 2.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="states: what is there .* must have a size above 0"):
        knowing.prepare(PROMPT, states=states)


def test_only_as_many_predictions_as_needed_are_made(pipeline):
    scales = {"guidance_scale": 3.0, "image_guidance_scale": 2.0}
    names = lambda **request: set(pipeline.prepare(PROMPT, **request).weights)  # noqa: E731
    assert names(guidance_scale=1.0) == {"positive"}
    assert names(guidance_scale=3.0) == {"positive", "negative"}
    assert names(**scales, image=IMAGE) == {"positive", "negative", "unconditional"}


def test_preparing_computes_nothing(pipeline, monkeypatch):
    monkeypatch.setattr(pipeline, "_params", None)
    monkeypatch.setattr(pipeline, "weights", None)
    pipeline.prepare(PROMPT, image=IMAGE)


def test_sizes_have_names():
    assert resolve_size(None, None, 32, None) == (32, None)
    assert resolve_size("480p", None, None, None) == (480, 864)
    assert resolve_size("720p", "9:16", None, None) == (1248, 704)
    for sizes in SIZES.values():
        for (width, height), ratio in zip(sizes, RATIOS, strict=True):
            across, down = map(int, ratio.split(":"))
            assert width % 16 == height % 16 == 0
            assert abs(width / height / (across / down) - 1) < 0.03


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("4k", None, None, None), "size='4k'; legal sizes: .*480p"),
        (("480p", "2:1", None, None), "ratio='2:1'; legal ratios: .*16:9"),
        ((None, "16:9", None, None), "ratio='16:9' without a size"),
        (("480p", None, 64, None), "not both"),
    ],
)
def test_unknown_or_conflicting_sizes_are_errors(arguments, said):
    with pytest.raises(ValueError, match=said):
        resolve_size(*arguments)


def test_missing_frames_of_a_latent_frame_repeat_the_nearest():
    given = collect((13, 32, 32), image=IMAGE, frames={6: IMAGE + 1, 8: IMAGE + 2})
    assert groups_of(given) == [0, 2]
    assert [picture[0, 0, 0] for picture in fill_group(0, given)] == [0]
    assert [picture[0, 0, 0] for picture in fill_group(2, given)] == [1, 1, 1, 2]
