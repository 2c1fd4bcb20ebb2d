import json

import pytest

from seedance_jax.data.builders.caption_files import CaptionedFile, Captions, list_captioned
from seedance_jax.data.schema import Shot

EXPECTED = [
    CaptionedFile("a.mp4", Captions("a cat, asleep")),
    CaptionedFile("sub/b.MOV", Captions("a dog", "it runs")),
]
SHOTS = [{"num_frames": 40, "caption": "a dog"}, {"num_frames": 8, "caption": "its tail"}]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "sub/b.MOV", "notes.md"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_jsonl(folder):
    lines = [
        {"file_name": "sub/b.MOV", "caption": "a dog", "caption_motion": "it runs"},
        {"file_name": "a.mp4", "caption": " a cat, asleep", "licence": "CC0"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\n"
    (folder / "metadata.jsonl").write_text(text)
    assert list_captioned(folder) == EXPECTED


def test_csv(folder):
    text = 'file_name,caption,caption_motion\na.mp4,"a cat, asleep",\nsub/b.MOV,a dog,it runs\n'
    (folder / "metadata.csv").write_text(text)
    assert list_captioned(folder) == EXPECTED


def test_text_files(folder):
    (folder / "a.txt").write_text("a cat, asleep\n")
    (folder / "sub/b.txt").write_text("a dog")
    assert list_captioned(folder) == [EXPECTED[0], CaptionedFile("sub/b.MOV", Captions("a dog"))]


def test_shots_stand_in_a_list_or_in_a_cell(folder):
    rows = [{"file_name": "a.mp4", "caption": "x"}]
    rows.append({"file_name": "sub/b.MOV", "caption": "dogs", "shots": SHOTS})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    listed = list_captioned(folder)
    assert listed[0].captions.shots == ()
    assert listed[1].captions == Captions("dogs", "", (Shot(40, "a dog"), Shot(8, "its tail")))
    (folder / "metadata.jsonl").unlink()
    cell = json.dumps(SHOTS).replace('"', '""')
    text = f'file_name,caption,shots\na.mp4,x,\nsub/b.MOV,dogs,"{cell}"\n'
    (folder / "metadata.csv").write_text(text)
    assert list_captioned(folder) == listed


@pytest.mark.parametrize(
    ("shots", "match"),
    [
        ("[", "line 2: a.mp4: Expecting value"),
        ({}, None),
        ({"a": 1}, "line 2: a.mp4: shots must be a list"),
        ([SHOTS[0], {"num_frames": 8}], r"shot 1 must have \('num_frames', 'caption'\)"),
        ([SHOTS[0], SHOTS[1] | {"num_frames": 0}], "shot 1: num_frames=0"),
        ([SHOTS[0], SHOTS[1] | {"num_frames": 2.5}], "shot 1: num_frames=2.5"),
        ([SHOTS[0] | {"caption": " "}, SHOTS[1]], "shot 0: the caption is empty"),
        ([SHOTS[0] | {"caption": "a cat"}], "a single shot has the caption 'a cat', not 'dogs'"),
    ],
)
def test_wrong_shots_name_their_line(tmp_path, shots, match):
    (tmp_path / "a.mp4").write_bytes(b"")
    row = {"file_name": "a.mp4", "caption": "dogs", "shots": shots}
    (tmp_path / "metadata.jsonl").write_text("\n" + json.dumps(row))
    if match is None:
        assert list_captioned(tmp_path)[0].captions.shots == ()
        return
    with pytest.raises(ValueError, match=match):
        list_captioned(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.txt", "a cat", r"1 videos .* no caption: sub/b.MOV"),
        ("a.txt", " ", r"2 videos .* no caption: a.mp4, sub/b.MOV"),
        ("metadata.csv", "name,text\na.mp4,cat\n", "line 2: file_name and caption are needed"),
        ("metadata.jsonl", "{", "line 1"),
        ("metadata.jsonl", "[]", "line 1: file_name and caption"),
        ("metadata.csv", "file_name,caption\na.mp4,x\na.mp4,y\n", "a second caption of a.mp4"),
        ("metadata.csv", "file_name,caption\na.mp4,x\nsub/b.MOV,y\nc.mp4,z\n", "no video: c.mp4"),
    ],
)
def test_what_does_not_fit_is_named(folder, name, text, match):
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=match):
        list_captioned(folder)


def test_two_lists_or_no_videos_are_errors(folder, tmp_path):
    for name in ("metadata.jsonl", "metadata.csv"):
        (folder / name).write_text("")
    with pytest.raises(ValueError, match="it has both"):
        list_captioned(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no videos"):
        list_captioned(tmp_path / "empty")
    with pytest.raises(ValueError, match="no folder"):
        list_captioned(tmp_path / "missing")
