import importlib.util
import os
from pathlib import Path

import pytest

from seedance_jax.training import places


def test_a_place_is_a_path_of_this_machine_or_of_a_bucket():
    for path in ("runs/new", "/mnt/bucket/run", "a:b", "https:/x", "two balls: // 16://9"):
        places.check_place("--workdir", path)
        assert places.place(path) == Path(path)
    with pytest.raises(ValueError, match="--workdir=gs:/b/run: a bucket is written gs://bucket/"):
        places.check_place("--workdir", "gs:/b/run")
    for path in ("s3://bucket/run", "https://bucket/run"):
        with pytest.raises(ValueError, match=f"--workdir={path}: only local paths, .* gs:// can"):
            places.check_place("--workdir", path)
    with pytest.raises(ValueError, match="--image=gs://b/run: only local paths and mounted stor"):
        places.check_place("--image", "gs://b/run", buckets=False)
    for name in ("", "Bucket", "ab", "-abc"):
        with pytest.raises(ValueError, match=f"'{name}' is no name of a bucket"):
            places.check_place("--workdir", f"gs://{name}/run")


def test_a_bucket_without_the_extra_says_which(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'^--workdir=gs://bucket/a: .* "\.\[gcs\]"$'):
        places.check_place("--workdir", "gs://bucket/a")
    with pytest.raises(ImportError, match=r'^gs://bucket/a: .* "\.\[gcs\]"$'):
        places.place("gs://bucket/a")
    assert places.place("a") == Path("a")


def test_a_relative_path_means_one_in_the_directory(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert places.join(tmp_path, "vae") == tmp_path / "vae"
    assert places.join(tmp_path, "/vae") == Path("/vae")
    assert places.absolute(tmp_path / "link") == tmp_path / "run"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    places.write_whole(path, "one")

    def fail(self, target):
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="full"):
            places.write_whole(path, "two")
    assert path.read_text() == "one"


def test_of_several_one_makes_a_file(tmp_path):
    assert places.create(tmp_path / "a", b"first")
    assert not places.create(tmp_path / "a", b"first")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_a_new_directory_is_there_when_it_is_complete(tmp_path):
    with places.new_directory(tmp_path / "b" / "run") as draft:
        (draft / "a").touch()
        assert not (tmp_path / "b" / "run").exists()
    assert os.listdir(tmp_path / "b") == ["run"]
    with pytest.raises(KeyError), places.new_directory(tmp_path / "b" / "other") as draft:
        raise KeyError
    assert os.listdir(tmp_path / "b") == ["run"]
