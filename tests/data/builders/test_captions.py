import json

import pytest

from seedance_jax.data.builders.captions import CaptionedFile, list_captioned

EXPECTED = [
    CaptionedFile("a.mp4", "a cat, asleep", ""),
    CaptionedFile("sub/b.MOV", "a dog", "it runs"),
]


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
    assert list_captioned(folder) == [EXPECTED[0], EXPECTED[1]._replace(caption_motion="")]


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
