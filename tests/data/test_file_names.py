"""A file is found by any of the names that systems and people write for it."""

import os
from pathlib import Path

import pytest

from seedance_jax.data.file_names import find, plain, printable

DECOMPOSED, COMPOSED = "e\u0301te\u0301.png", "\u00e9t\u00e9.png"


@pytest.mark.parametrize(
    "name",
    [f"./{DECOMPOSED}", COMPOSED, f"x/../{COMPOSED}", f".\\{COMPOSED}", f"x//..//{COMPOSED}"],
)
def test_names_are_compared_in_one_form(name):
    assert plain(name) == COMPOSED


def test_bytes_that_are_no_text_can_be_printed():
    assert printable(os.fsdecode(b"caf\xe9.mp4")) == r"caf\xe9.mp4"
    assert printable("caf\u00e9 \ud83d.mp4") == r"café \ud83d.mp4"


def test_a_file_is_found_by_its_plain_name(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / DECOMPOSED
    file.touch()
    for name in (
        f"sub/{DECOMPOSED}",
        f"sub\\{COMPOSED}",
        f"./sub/{COMPOSED}",
        f"{tmp_path}/sub/{COMPOSED}",
    ):
        assert find(tmp_path, name).samefile(file), name
    assert find(tmp_path / "sub", f"../sub/{COMPOSED}").samefile(file)
    assert find(tmp_path, "none.png") == tmp_path / "none.png"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("elsewhere", f"~/sub/{DECOMPOSED}") == file
    assert find("elsewhere", "~/none.png") == tmp_path / "none.png"


def test_a_name_that_may_be_of_two_files_is_an_error(tmp_path):
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).touch()
        assert find(tmp_path, name) == tmp_path / name
    with pytest.raises(ValueError, match="may be any of"):
        find(tmp_path, f".\\{COMPOSED}")


def test_only_folders_that_are_there_are_listed_and_one_that_cannot_be_is_empty(
    tmp_path, monkeypatch
):
    (tmp_path / "sub").mkdir()
    listed, iterdir = [], Path.iterdir

    def look(place):
        listed.append(place)
        if place.name == "sub":
            raise PermissionError(13, "Permission denied", str(place))
        return iterdir(place)

    monkeypatch.setattr(Path, "iterdir", look)
    for name in (f"{tmp_path}/none/a.png", "none/a.png", f"{tmp_path}/sub/a.png", "sub/a.png"):
        assert find(tmp_path, name) == tmp_path / name
    assert {*listed} == {tmp_path, tmp_path / "sub"}
