"""Every file of a folder is listed, or said to be left out."""

import os
from pathlib import Path

import pytest
from clips import moving_square
from PIL import Image

from seedance_jax.data import listing
from seedance_jax.data.video import encode_mp4


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_films_pictures_and_others_are_told_apart(tmp_path):
    make(tmp_path, "a.MP4", "b.mpg", "sub/c.m2ts", "d.mp4/e.webm", "f.JPG", "g.txt", "h")
    found = listing.list_files(tmp_path)
    assert found.videos == ["a.MP4", "b.mpg", "d.mp4/e.webm", "sub/c.m2ts"]
    assert found.pictures == ["f.JPG"]
    assert found.others == ["g.txt", "h"]
    assert not found.left_out


def test_every_suffix_is_one_and_of_one_kind():
    suffixes = [*listing.VIDEO_SUFFIXES, *listing.PICTURE_SUFFIXES]
    assert len(set(suffixes)) == len(suffixes)
    assert all(Path(f"a{suffix.upper()}").suffix.lower() == suffix for suffix in suffixes)
    assert set(listing.PICTURE_SUFFIXES) <= Image.registered_extensions().keys()


def test_hidden_files_are_counted_and_passed_over(tmp_path):
    folder = tmp_path / ".films"  # what is asked for is listed, whatever its own name
    make(folder, "a.mp4", "._a.mp4", "._a.txt", ".Trash/b.mp4", "__MACOSX/sub/c.mp4")
    found = listing.list_files(folder)
    assert found.videos == ["a.mp4"]
    assert found.hidden == 4


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("../a.mp4", False),
        ("./a.mp4", False),
        ("..a/b.mp4", True),
        ("../.a/b.mp4", True),
        ("a/._b.mp4", True),
    ],
)
def test_steps_through_folders_hide_nothing(name, hidden):
    assert listing.is_hidden(name) == hidden


def test_links_are_followed_once(tmp_path):
    make(tmp_path, "store/b.mp4", "store/deep/c.mp4", "in/a.mp4", "in/own/d.mp4")
    folder = tmp_path / "in"
    links = {"film2": "../store", "loop": ".", "up": "..", "again": "own", "e.mp4": "a.mp4"}
    links |= {"gone.mp4": "none.mp4", "self.mp4": "self.mp4", "lost": "nowhere"}
    for name, target in links.items():
        os.symlink(target, folder / name)
    os.mkfifo(folder / "pipe.mp4")
    found = listing.list_files(folder)
    films = ["a.mp4", "e.mp4", "film2/b.mp4", "film2/deep/c.mp4", "own/d.mp4"]
    assert found.videos == films
    again = "a folder that is listed already, under another name"
    assert found.left_out == {
        **dict.fromkeys(["loop", "again", "up/in", "up/store"], again),
        **dict.fromkeys(["gone.mp4", "self.mp4", "lost"], "a broken link"),
        "pipe.mp4": "no regular file",
    }


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    make(tmp_path, "a.mp4", "closed/b.mp4")
    entries = os.listdir

    def refuse(path):
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return entries(path)

    monkeypatch.setattr(listing.os, "listdir", refuse)
    found = listing.list_files(tmp_path)
    assert found.videos == ["a.mp4"]
    assert found.left_out == {"closed": "a folder that cannot be read: Permission denied"}


@pytest.mark.parametrize(
    ("head", "film"),
    [
        (encode_mp4(moving_square(0, 1), 12), True),
        (b"RIFF\0\0\0\0AVI LIST", True),
        (b"RIFF\0\0\0\0WAVEfmt ", False),
        (b"\x1aE\xdf\xa3\x01", True),
        (b"file_name,caption", False),
        (b"", False),
    ],
)
def test_films_are_known_by_their_first_bytes(tmp_path, head, film):
    (tmp_path / "a.xyz").write_bytes(head)
    assert listing.looks_like_a_film(tmp_path / "a.xyz") == film
    (tmp_path / "a.m4a").write_bytes(head)
    assert not listing.looks_like_a_film(tmp_path / "a.m4a")
    assert not listing.looks_like_a_film(tmp_path / "none")
