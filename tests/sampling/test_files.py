"""Files that a request gives."""

import json

import films
import numpy as np
import pytest
from PIL import Image

from seedance_jax.data.video import VideoReader, decode_mp4, encode_mp4
from seedance_jax.sampling import files, preparation


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    Image.fromarray(frames[1, :16]).save(tmp_path / "wide.png")
    (tmp_path / "a.mp4").write_bytes(encode_mp4(frames, 12))
    return tmp_path


def test_files_become_what_the_pipeline_takes_and_notes_to_find_them_again(pipeline, folder):
    request = {
        "prompt": "a ball",
        "image": f"{folder}/a.png",
        "frames": json.dumps({"8": f"{folder}/wide.png"}),
        "guidance_interval": "0.2,0.9",
    }
    arguments, notes = files.load_given(request, pipeline)
    plan = pipeline.prepare(**arguments)
    assert plan.settings[0]["given_frames"] == [0, 8]
    assert plan.settings[0]["guidance_interval"] == [0.2, 0.9]
    np.testing.assert_array_equal(arguments["image"], np.asarray(Image.open(folder / "a.png")))
    assert notes["image"] == request["image"]
    assert json.loads(notes["frames"]) == {"8": f"{folder}/wide.png"}
    assert notes["files"]["frames 8"]["changes"] == ["cropped and resized from 32x16 to 32x32"]
    assert len(notes["files"]["image"]["sha256"]) == 16
    json.dumps({**plan.settings[0], **notes})


def test_a_clip_is_given_by_its_file(pipeline, folder):
    arguments, _ = files.load_given({"prompt": "a", "video": f"{folder}/a.mp4"}, pipeline)
    assert pipeline.prepare(**arguments).settings[0]["given_frames"] == [0, 1, 2, 3, 4]


def test_a_clip_that_is_given_is_taken_to_have_the_rate_of_the_request(
    pipeline, folder, monkeypatch
):
    monkeypatch.setattr(pipeline, "conditions", ("fps",))
    request = {"prompt": "a", "video": f"{folder}/a.mp4", "num_frames": 17}
    changes = [
        files.load_given({**request, "fps": fps}, pipeline)[1]["files"]["video"]["changes"]
        for fps in (12, 24)
    ]
    assert changes == [[], ["its 12 frames a second are taken as 24: speed changes"]]


@pytest.mark.parametrize(
    ("extend", "length", "kept", "change"),
    [
        (
            "backward",
            5,
            slice(0, 4),
            ["cut from 5 to 4 frames to be extended backward: not the last"],
        ),
        ("backward", 4, slice(0, 4), []),
        (
            "forward",
            4,
            slice(3, 4),
            ["cut from 4 to 1 frames to be extended forward: not the first 3"],
        ),
        ("forward", 5, slice(0, 5), []),
    ],
)
def test_a_clip_from_a_file_is_cut_to_be_extended(pipeline, folder, extend, length, kept, change):
    frames = decode_mp4(folder / "a.mp4")[0][:length]
    (folder / "b.mp4").write_bytes(encode_mp4(frames, 12))
    frames = decode_mp4(folder / "b.mp4")[0]
    request = {"prompt": "a", "video": f"{folder}/b.mp4", "extend": extend}
    request["image_guidance_scale"] = 2.0
    arguments, notes = files.load_given(request, pipeline)
    np.testing.assert_array_equal(arguments["video"], frames[kept])
    assert notes["files"]["video"]["changes"] == change
    assert preparation.changes(notes) == [f"{folder}/b.mp4: {line}" for line in change]
    start = 9 - len(frames[kept]) if extend == "backward" else 0
    indices = list(range(start, start + len(frames[kept])))
    assert pipeline.prepare(**arguments).settings[0]["given_frames"] == indices


@pytest.mark.parametrize(("start", "length"), [(0, 5), (5, 4), (1, 4)])
def test_a_clip_from_a_file_is_cut_to_the_end_of_a_latent_frame(pipeline, folder, start, length):
    request = {"prompt": "a", "frames": json.dumps({start: f"{folder}/a.mp4"})}
    arguments, notes = files.load_given(request, pipeline)
    cuts = [f"cut from 5 to 4 frames from frame {start}: not the last"] if length < 5 else []
    assert notes["files"][f"frames {start}"]["changes"] == cuts
    given = pipeline.prepare(**arguments).settings[0]["given_frames"]
    assert given == list(range(start, start + length))


def test_clips_too_short_to_be_cut_and_unknown_ways_are_refused(pipeline, folder):
    (folder / "b.mp4").write_bytes(encode_mp4(decode_mp4(folder / "a.mp4")[0][:3], 12))
    request = {"prompt": "a", "video": f"{folder}/b.mp4"}
    arguments, _ = files.load_given(request | {"extend": "backward"}, pipeline)
    with pytest.raises(ValueError, match="video has 3 frames.*multiple of 4"):
        pipeline.prepare(**arguments)
    with pytest.raises(ValueError, match="extend='up'"):
        files.load_given(request | {"extend": "up"}, pipeline)


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("image", "", "image .* is a directory; give a file"),
        ("last_image", "none.png", "last_image .*none.png' does not exist"),
        ("image", "a.mp4", "image .*a.mp4' is a clip; give an image, or the clip as --video"),
        ("video", "a.png", "video .*a.png' is not a clip.*.mp4.*--image"),
        ("video", "", "video .* is not a clip"),
    ],
)
def test_files_of_another_kind_are_named(pipeline, folder, name, path, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        files.load_given({"prompt": "a", name: f"{folder}/{path}"}, pipeline)


def test_of_an_animation_that_is_given_as_an_image_the_first_frame_is_taken(pipeline, folder):
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "lime")]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    arguments, notes = files.load_given({"prompt": "a", "image": f"{folder}/a.gif"}, pipeline)
    assert (arguments["image"] == (255, 0, 0)).all()
    assert notes["files"]["image"]["changes"] == ["the first of its 2 frames is taken"]
    assert preparation.changes(notes) == [f"{folder}/a.gif: the first of its 2 frames is taken"]


@pytest.mark.parametrize("text", ["0.5", "a,b", "0.1,0.2,0.3"])
def test_an_interval_is_two_numbers(text):
    with pytest.raises(ValueError, match="must be two numbers"):
        files.parse_interval(text)


def test_a_clip_that_is_too_long_is_not_decoded(pipeline, folder, monkeypatch):
    frames = np.zeros((40, 32, 32, 3), np.uint8)
    (folder / "long.mp4").write_bytes(encode_mp4(frames, 12))
    monkeypatch.delattr(VideoReader, "frames")
    request = {"prompt": "a", "num_frames": 9, "video": f"{folder}/long.mp4"}
    with pytest.raises(ValueError, match="video has 37 frames, num_frames=9 counts them .* 41 or"):
        files.load_given(request, pipeline)


def test_no_more_is_decoded_than_can_fit(pipeline, folder, monkeypatch):
    frames = np.zeros((400, 32, 32, 3), np.uint8)
    (folder / "long.mkv").write_bytes(films.written(frames, "matroska"))
    shown, show = [], VideoReader.show
    monkeypatch.setattr(VideoReader, "show", lambda *args: shown.append(1) or show(*args))
    request = {"prompt": "a", "num_frames": 9, "video": f"{folder}/long.mkv"}
    with pytest.raises(ValueError, match=r"long.mkv' has more than 12 frames, 12 at most fit"):
        files.load_given(request, pipeline)
    assert len(shown) <= 13
