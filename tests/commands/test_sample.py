"""What the command line does around the pipeline."""

import json

import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from seedance_jax.commands import cli  # noqa: F401 - defines flags that are to stay
from seedance_jax.data.video import decode_mp4, encode_mp4

with flagsaver.flagsaver():  # other commands define flags of the same names
    from seedance_jax.commands import sample


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    Image.fromarray(frames[1, :16]).save(tmp_path / "wide.png")
    (tmp_path / "a.mp4").write_bytes(encode_mp4(frames, 12))
    return tmp_path


def test_files_become_what_the_pipeline_takes_and_notes_to_find_them_again(pipeline, files):
    request = {
        "prompt": "a ball",
        "image": f"{files}/a.png",
        "frames": json.dumps({"8": f"{files}/wide.png"}),
        "guidance_interval": "0.2,0.9",
    }
    arguments, notes = sample.load_given(request, pipeline)
    plan = pipeline.prepare(**arguments)
    assert plan.settings[0]["given_frames"] == [0, 8]
    assert plan.settings[0]["guidance_interval"] == [0.2, 0.9]
    np.testing.assert_array_equal(arguments["image"], np.asarray(Image.open(files / "a.png")))
    assert notes["image"] == request["image"]
    assert json.loads(notes["frames"]) == {"8": f"{files}/wide.png"}
    assert notes["files"]["frames 8"]["changes"] == ["cropped and resized from 32x16 to 32x32"]
    assert len(notes["files"]["image"]["sha256"]) == 16
    json.dumps({**plan.settings[0], **notes})


def test_a_clip_is_given_by_its_file(pipeline, files):
    arguments, _ = sample.load_given({"prompt": "a", "video": f"{files}/a.mp4"}, pipeline)
    assert pipeline.prepare(**arguments).settings[0]["given_frames"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("extend", "length", "kept", "change"),
    [
        (
            "backward",
            5,
            slice(1, 5),
            ["cut from 5 to 4 frames to be extended backward: not the first"],
        ),
        ("backward", 4, slice(0, 4), []),
        (
            "forward",
            4,
            slice(0, 1),
            ["cut from 4 to 1 frames to be extended forward: not the last 3"],
        ),
        ("forward", 5, slice(0, 5), []),
    ],
)
def test_a_clip_from_a_file_is_cut_to_be_extended(
    pipeline, files, capsys, extend, length, kept, change
):
    frames = decode_mp4(files / "a.mp4")[0][:length]
    (files / "b.mp4").write_bytes(encode_mp4(frames, 12))
    frames = decode_mp4(files / "b.mp4")[0]
    request = {"prompt": "a", "video": f"{files}/b.mp4", "extend": extend}
    request["image_guidance_scale"] = 2.0
    arguments, notes = sample.load_given(request, pipeline)
    np.testing.assert_array_equal(arguments["video"], frames[kept])
    assert notes["files"]["video"]["changes"] == change
    assert [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()] == change
    start = 9 - len(frames[kept]) if extend == "backward" else 0
    indices = list(range(start, start + len(frames[kept])))
    assert pipeline.prepare(**arguments).settings[0]["given_frames"] == indices


@pytest.mark.parametrize(("start", "length"), [(0, 5), (5, 4), (1, 4)])
def test_a_clip_from_a_file_is_cut_to_the_end_of_a_latent_frame(pipeline, files, start, length):
    request = {"prompt": "a", "frames": json.dumps({start: f"{files}/a.mp4"})}
    arguments, notes = sample.load_given(request, pipeline)
    cuts = [f"cut from 5 to 4 frames from frame {start}: not the last"] if length < 5 else []
    assert notes["files"][f"frames {start}"]["changes"] == cuts
    given = pipeline.prepare(**arguments).settings[0]["given_frames"]
    assert given == list(range(start, start + length))


def test_clips_too_short_to_be_cut_and_unknown_ways_are_refused(pipeline, files):
    (files / "b.mp4").write_bytes(encode_mp4(decode_mp4(files / "a.mp4")[0][:3], 12))
    request = {"prompt": "a", "video": f"{files}/b.mp4"}
    arguments, _ = sample.load_given(request | {"extend": "backward"}, pipeline)
    with pytest.raises(ValueError, match="video has 3 frames.*multiple of 4"):
        pipeline.prepare(**arguments)
    with pytest.raises(ValueError, match="extend='up'"):
        sample.load_given(request | {"extend": "up"}, pipeline)


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("image", "", "image .* is a directory; give a file"),
        ("last_image", "none.png", "last_image .*none.png' does not exist"),
        ("image", "a.mp4", "image .*a.mp4' is a clip; give an image, or the clip as --video"),
        ("video", "a.png", "video .*a.png' is not a clip.*.mp4.*--image"),
        ("video", "", "video .* is a directory"),
    ],
)
def test_files_of_another_kind_are_named(pipeline, files, name, path, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        sample.load_given({"prompt": "a", name: f"{files}/{path}"}, pipeline)


@pytest.mark.parametrize("text", ["0.5", "a,b", "0.1,0.2,0.3"])
def test_an_interval_is_two_numbers(text):
    with pytest.raises(ValueError, match="must be two numbers"):
        sample.parse_interval(text)


def test_errors_say_in_which_row_they_are():
    with (
        pytest.raises(ValueError, match="a.csv line 3: num_frames=6"),
        sample.named("a.csv line 3: "),
    ):
        raise ValueError("num_frames=6")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lora_scale=2"], "lora_scale=2.0 does nothing without --lora"),
        (["--lora_scale=nan", "--lora=runs/a"], "lora_scale=nan: must be a finite number"),
        (["--rewriter_top_p=0.5"], "rewriter_top_p=0.5 does nothing without --rewriter=lm"),
        (["--rewriter_model=a", "--rewriter=world"], "rewriter_model=a does nothing without"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(run_command, flags, said):
    with pytest.raises(ValueError, match=said):
        run_command("sample", "--prompt=a ball", *flags)


@pytest.mark.parametrize(
    "setting",
    [{"negative_prompt": "a"}, {"guidance_rescale": 0.5}, {"guidance_interval": (0.2, 0.9)}],
)
def test_settings_of_guidance_need_guidance(pipeline, setting):
    def check(**scales):
        request = {"prompt": "a ball", **setting, **scales}
        sample.check_used(request, pipeline.prepare(**request))

    check(guidance_scale=2.0)
    check(guidance_scale=1.0, image=np.zeros((32, 32, 3), np.uint8), image_guidance_scale=2.0)
    (name,) = setting
    with pytest.raises(ValueError, match=f"{name}=.* does nothing at guidance_scale=1"):
        check(guidance_scale=1.0)
    usual = {"negative_prompt": "", "guidance_rescale": 0.0, "guidance_interval": (0.0, 1.0)}
    setting = {name: usual[name]}
    check(guidance_scale=1.0)  # as sidecars have it


def test_sizes_that_were_not_trained_on_are_named_once(run_command, tmp_path, capsys):
    rows = [{"prompt": "a red ball", "num_frames": n} for n in (17, 33, 33, 1, 6)]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match="line 5"):  # so nothing is generated
        run_command("sample", f"--prompts_file={prompts}", f"--output={tmp_path}")
    lines = [line for line in capsys.readouterr().out.splitlines() if "trained on" in line]
    assert lines == [
        "33x64x64 (frames x height x width) is no size that the weights were trained on: "
        "17x64x64, 1x64x64"
    ]
