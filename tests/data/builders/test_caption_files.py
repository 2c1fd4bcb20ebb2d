import json
import os

import pytest
from clips import moving_square

from seedance_jax.data.builders.caption_files import CaptionedFile, Captions, list_captioned
from seedance_jax.data.schema import Shot
from seedance_jax.data.video import encode_mp4

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
    assert list_captioned(folder).files == EXPECTED


def test_csv(folder):
    text = 'file_name,caption,caption_motion\na.mp4,"a cat, asleep",\nsub/b.MOV,a dog,it runs\n'
    (folder / "metadata.csv").write_text(text)
    assert list_captioned(folder).files == EXPECTED


def test_text_files(folder):
    (folder / "a.txt").write_text("a cat, asleep\n")
    (folder / "sub/b.txt").write_text("a dog")
    assert list_captioned(folder).files == [
        EXPECTED[0],
        CaptionedFile("sub/b.MOV", Captions("a dog")),
    ]


def test_shots_stand_in_a_list_or_in_a_cell(folder):
    rows = [{"file_name": "a.mp4", "caption": "x"}]
    rows.append({"file_name": "sub/b.MOV", "caption": "dogs", "shots": SHOTS})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    listed = list_captioned(folder).files
    assert listed[0].captions.shots == ()
    assert listed[1].captions == Captions("dogs", "", (Shot(40, "a dog"), Shot(8, "its tail")))
    (folder / "metadata.jsonl").unlink()
    cell = json.dumps(SHOTS).replace('"', '""')
    text = f'file_name,caption,shots\na.mp4,x,\nsub/b.MOV,dogs,"{cell}"\n'
    (folder / "metadata.csv").write_text(text)
    assert list_captioned(folder).files == listed


@pytest.mark.parametrize(
    ("shots", "match"),
    [
        ("[", "line 2: a.mp4: shots: not JSON: Expecting value"),
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
        assert list_captioned(tmp_path).files[0].captions.shots == ()
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


def rows_of(folder, *rows):
    """Writes metadata.jsonl."""
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def captions_of(folder):
    return {file.name: file.captions.caption for file in list_captioned(folder).files}


def test_a_caption_is_not_cut_at_a_comma(folder):
    text = "file_name,caption\na.mp4,a cat, asleep\nsub/b.MOV,a dog,\n"
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(ValueError, match=r"metadata.csv, line 2: more cells than columns; put"):
        list_captioned(folder)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_captions_are_what_was_written_on_any_system(folder, mark):
    odd = "a cat\u2028asleep\x0bfar\x85off"
    (folder / "a.txt").write_bytes(f"{mark}{odd}\r\n".encode())
    (folder / "sub/b.TXT").write_bytes(f"{mark}a dog".encode())
    expected = {"a.mp4": odd, "sub/b.MOV": "a dog"}
    assert captions_of(folder) == expected
    row = {"file_name": "a.mp4", "caption": odd, "caption_motion": None, "shots": None}
    text = json.dumps(row, ensure_ascii=False) + '\r\n{"file_name":"sub/b.MOV","caption":"a dog"}'
    (folder / "metadata.jsonl").write_bytes((mark + text).encode())
    assert captions_of(folder) == expected
    (folder / "metadata.jsonl").unlink()
    text = f"{mark}file_name,caption\r\na.mp4,{odd}\r\nsub/b.MOV,a dog\r\n"
    (folder / "metadata.csv").write_bytes(text.encode())
    assert captions_of(folder) == expected


def test_all_captions_in_another_encoding_are_named(folder):
    (folder / "a.txt").write_bytes(b"A caf\xe9 ball")
    (folder / "sub/b.txt").write_text("a dog")
    with pytest.raises(ValueError, match=r"^\S*/a.txt is not UTF-8 text: .* 0xe9"):
        list_captioned(folder)
    (folder / "sub/b.txt").write_bytes("a dog".encode("utf-16"))
    with pytest.raises(ValueError, match="2 captions cannot be read") as error:
        list_captioned(folder)
    assert "/a.txt is not UTF-8" in str(error.value)
    assert "sub/b.txt is not UTF-8 text: it is UTF-16" in str(error.value)
    (folder / "metadata.csv").write_bytes(b"file_name,caption\na.mp4,x\nsub/b.MOV,caf\xe9\n")
    with pytest.raises(ValueError, match=r"metadata.csv is not UTF-8 text: .* in line 3"):
        list_captioned(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"caption_motion": 5}, "a.mp4: caption_motion must be text, got 5$"),
        ({"caption_motion": ["x"]}, r"a.mp4: caption_motion must be text, got \['x'\]$"),
        ({"caption": 5}, "a.mp4: caption must be text, got 5$"),
        ({"caption": None}, "file_name and caption are needed"),
        ({"caption": "a \ud83d cat"}, "a.mp4: caption holds half a character"),
        ({"file_name": 5}, "file_name must be text, got 5"),
        ({"shots": 5}, "a.mp4: shots must be a list"),
        ({"shots": False}, "a.mp4: shots must be a list"),
    ],
)
def test_values_of_another_type_name_their_line(folder, change, said):
    rows_of(folder, {"file_name": "sub/b.MOV", "caption": "x"}, EXPECTED_ROW | change)
    with pytest.raises(ValueError, match=f"metadata.jsonl, line 2: {said}"):
        list_captioned(folder)


EXPECTED_ROW = {"file_name": "a.mp4", "caption": "a cat"}


def test_all_broken_rows_are_named(folder):
    lines = ['{"file_name": "a.mp4", "caption": "x", "caption": "y"}', "{", "[]"]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="metadata.jsonl has 3 broken rows:") as error:
        list_captioned(folder)
    for line, said in enumerate(("not JSON: a name stands twice", "not JSON", "file_name and"), 1):
        assert f"metadata.jsonl, line {line}: {said}" in str(error.value)


def test_columns_that_are_not_used_are_said(folder):
    rows_of(folder, EXPECTED_ROW | {"licence": "CC0"}, {"file_name": "sub/b.MOV", "caption": "x"})
    (folder / "a.txt").touch()
    assert list_captioned(folder).notes == [
        "metadata.jsonl: 1 rows have 'licence', which is not used",
        "1 files .txt are not read: captions stand in metadata.jsonl",
    ]


NFD, NFC = "e\u0301.mp4", "\u00e9.mp4"


@pytest.mark.parametrize(
    "given", ["~/" + NFC, NFD, NFC, f"./{NFC}", f"sub/../{NFC}", f".\\{NFC}", "{}/" + NFC]
)
def test_rows_find_their_file_by_any_name_for_it(tmp_path, given, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / NFD).touch()
    rows_of(tmp_path, {"file_name": given.format(tmp_path), "caption": "x"})
    assert captions_of(tmp_path) == {NFD: "x"}
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / NFC).with_suffix(".txt").write_text("y")
    assert captions_of(tmp_path) == {NFD: "y"}


def test_names_that_may_be_two_files_or_are_one_file_twice_are_errors(folder):
    rows_of(folder, EXPECTED_ROW, EXPECTED_ROW | {"file_name": "./a.mp4"})
    with pytest.raises(ValueError, match="line 2: a second caption of a.mp4"):
        list_captioned(folder)
    for name in (NFC, NFD):
        (folder / name).touch()
    rows_of(folder, EXPECTED_ROW | {"file_name": f"./{NFC}"})
    with pytest.raises(ValueError, match="line 1: .* may be any of"):
        list_captioned(folder)
    (folder / "metadata.jsonl").unlink()
    for name in ("a.txt", "a.TXT"):
        (folder / name).write_text("x")
    with pytest.raises(ValueError, match="a.mp4 has 2 captions: a.TXT, a.txt"):
        list_captioned(folder)


def test_a_row_may_name_a_file_through_a_link(folder):
    os.symlink("sub", folder / "linked")
    rows_of(folder, EXPECTED_ROW, {"file_name": "linked/b.MOV", "caption": "x"})
    assert captions_of(folder) == {"a.mp4": "a cat", "sub/b.MOV": "x"}


def test_videos_behind_a_link_are_taken(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    (store / "c.mp4").touch()
    (store / "c.txt").write_text("c")
    os.symlink(store, folder / "film2")
    (folder / "a.txt").write_text("a")
    (folder / "sub/b.txt").write_text("b")
    assert captions_of(folder) == {"a.mp4": "a", "film2/c.mp4": "c", "sub/b.MOV": "b"}
    rows_of(
        folder, *({"file_name": n, "caption": n} for n in ("a.mp4", "film2/c.mp4", "sub/b.MOV"))
    )
    assert len(captions_of(folder)) == 3


def test_what_has_a_caption_or_looks_like_a_film_and_is_not_taken_is_named(folder):
    for name, text in {"a": "cat", "sub/b": "dog", "c": "c", "lone": "x", "p": "picture"}.items():
        (folder / f"{name}.txt").write_text(text)
    for name in ("c.xyz", "a.jpg", "p.png", "q.png", "notes.pdf"):
        (folder / name).touch()
    (folder / "film").write_bytes(encode_mp4(moving_square(0, 1), 12))
    os.symlink("nowhere", folder / "gone.mp4")
    suffix = "no suffix of a video or picture that is read"
    found = list_captioned(folder)
    assert [file.name for file in found.files] == ["a.mp4", "p.png", "sub/b.MOV"]
    assert [file.is_picture for file in found.files] == [False, True, False]
    assert found.left_out == {
        "a.jpg": "a.txt is the caption of a.mp4",
        "c.xyz": f"has a caption, c.txt, and {suffix}",
        "film": f"looks like a film, and has {suffix}",
        "gone.mp4": "a broken link",
        "lone.txt": "a text beside no video of its name",
        "q.png": "a picture without a caption",
    }
    names = ("a.mp4", "sub/b.MOV", "c.xyz", "gone.mp4", "q.png")
    rows_of(folder, *({"file_name": name, "caption": "x"} for name in names))
    found = list_captioned(folder)
    assert [file.name for file in found.files] == ["a.mp4", "q.png", "sub/b.MOV"]
    assert found.left_out == {
        "a.jpg": "a picture without a caption",
        "c.xyz": f"has a caption, and {suffix}",
        "film": f"looks like a film, and has {suffix}",
        "gone.mp4": "a broken link",
        "p.png": "a picture without a caption",
    }


def test_shadow_files_of_macos_are_passed_over(folder):
    for name in ("a", "sub/b"):
        (folder / f"{name}.txt").write_text("x")
    for name in ("._a.mp4", "._a.txt", "sub/._b.MOV"):
        (folder / name).write_bytes(b"\0\5\x16\7\xff")
    found = list_captioned(folder)
    assert [file.name for file in found.files] == ["a.mp4", "sub/b.MOV"]
    assert found.notes == ["3 hidden files or folders are passed over"]
    names = ("a.mp4", "sub/b.MOV", "._a.mp4")
    rows_of(folder, *({"file_name": name, "caption": "x"} for name in names))
    assert list_captioned(folder).left_out == {"._a.mp4": "has a caption, and is hidden"}


@pytest.mark.parametrize("place", ["other", ".other"])
def test_rows_of_files_outside_of_the_folder_are_errors_by_any_path(
    folder, place, tmp_path_factory
):
    outside = tmp_path_factory.mktemp("outside") / place / "b.mp4"
    outside.parent.mkdir()
    outside.touch()
    for name in (str(outside), os.path.relpath(outside, folder)):
        rows = [EXPECTED_ROW, {"file_name": "sub/b.MOV", "caption": "x"}]
        rows_of(folder, *rows, {"file_name": name, "caption": "x"})
        with pytest.raises(ValueError, match="1 captions of .* have no video: .*b.mp4"):
            list_captioned(folder)


def test_names_that_are_no_text_have_a_label(tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).touch()
    (tmp_path / name).with_suffix(".txt").write_text("x")
    [file] = list_captioned(tmp_path).files
    assert (file.name, file.label) == (name, r"caf\xe9.mp4")
    rows_of(tmp_path, {"file_name": name, "caption": "y"})  # as JSON spells such a name
    assert captions_of(tmp_path) == {name: "y"}


def test_a_folder_without_a_captioned_video_says_what_is_there(tmp_path):
    os.symlink("nowhere", tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"(?s)no videos .* left out:.*a.mp4: a broken link"):
        list_captioned(tmp_path)
