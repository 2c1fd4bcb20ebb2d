"""Data sets and folders of clips in a bucket."""

import dataclasses
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from clips import clip_record, moving_square
from PIL import Image

from seedance_jax.data import listing, remote, schema, video
from seedance_jax.data.builders import folder as builder
from seedance_jax.data.builders import side_tables, storage, transcoding
from seedance_jax.data.builders.folder import build_folder
from seedance_jax.data.builders.transcoding import FolderSpec
from seedance_jax.data.curation import scores


def test_a_data_set_of_a_bucket_without_the_extra_says_which():
    script = (
        "import sys; sys.modules['gcsfs'] = None; from seedance_jax.data import remote; "
        "remote.place('data'); remote.place('gs://bucket/data')"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert done.stderr.splitlines()[-1].startswith("ImportError: Please install gcsfs")


def test_what_others_add_to_a_folder_of_a_bucket_is_listed(bucket, tmp_path):
    """In a new process, which knows the data layer alone, and remembers no listing."""
    script = tmp_path / "list.py"
    script.write_text(
        "import sys\n"
        "from seedance_jax.data import remote\n"
        "folder = remote.place(sys.argv[1])\n"
        "for _ in range(2):\n"
        "    print([path.name for path in folder.iterdir()], remote.names(folder), flush=True)\n"
        "    input()\n"
    )
    (remote.place(bucket) / "a").write_text("1")
    command, pipe = [sys.executable, script, bucket], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "['a'] ['a']\n"
        (remote.place(bucket) / "b").write_text("2")
        assert process.communicate("\n\n")[0] == "['a', 'b'] ['a', 'b']\n"


def assert_same_rows(one, other):
    assert len(one) == len(other)
    for index in range(len(one)):
        mine, theirs = one[index], other[index]
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name])
    for column in schema.TABLE:
        np.testing.assert_array_equal(one.table[column], other.table[column])


def write(directory):
    records = [clip_record(index) for index in range(3)]
    with storage.writing(directory) as draft:
        if draft is None:
            return False
        rows = storage.write_records(draft, "clips", schema.CLIP, {"train": lambda: records})
        storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
        storage.write_json(draft / "spec.json", {"clips": 3})
    return True


def test_a_data_set_of_a_bucket_is_written_once_and_read_as_one_of_this_machine(bucket, tmp_path):
    there = storage.dataset_directory(bucket, "clips", {"clips": 3})
    assert write(there)
    assert not write(there)
    assert write(tmp_path / there.name)
    source = storage.open_split(there, "train")
    assert_same_rows(source, storage.open_split(tmp_path / there.name, "train"))
    assert pickle.loads(pickle.dumps(source))[2]["id"] == source[2]["id"]  # by worker processes
    assert storage.describe_clips(there, "train") == storage.describe_clips(
        tmp_path / there.name, "train"
    )
    with pytest.raises(ValueError, match=f"no split 'test' in {there}: there are .'train'"):
        storage.open_split(there, "test")


def test_a_data_set_that_could_not_be_uploaded_whole_does_not_count(bucket, monkeypatch):
    there = storage.dataset_directory(bucket, "clips", {"clips": 3})
    path, kept = type(there), type(there).write_bytes

    def fail(self, content):
        if self.name == "spec.json":
            raise OSError("unreachable")
        return kept(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(path, "write_bytes", fail)
        with pytest.raises(OSError, match="unreachable"):
            write(there)
    assert (there / "report.json").exists()
    with pytest.raises(ValueError, match=f"no complete data set in {there}"):
        storage.open_split(there, "train")
    assert write(there)
    assert len(storage.open_split(there, "train")) == 3


def test_tables_beside_the_clips_lie_in_the_bucket_too(bucket):
    rows = [("a", np.ones((2, 3), np.float32), np.arange(2, dtype=np.int32))]
    there = remote.place(bucket) / "texts"
    side_tables.build_texts(there, rows, {"clips": "x"})
    assert storage.read_report(there)["longest"] == 2
    with pytest.raises(ValueError, match="clips: found 'x', expected 'y'"):
        side_tables.open_table(there, "texts", {"clips": "y"})
    columns = {"motion": np.arange(3, dtype=np.float32)}
    scores.write_table(there.parent / "scores", {"scorer": "motion"}, columns)
    with np.load(remote.opened(there.parent / "scores" / "scores.npz")) as stored:
        np.testing.assert_array_equal(stored["motion"], columns["motion"])


@pytest.fixture
def folders(tmp_path, bucket):
    """(a folder of two films, a picture and a broken film, the same in a bucket)."""
    here, there = tmp_path / "films", remote.place(bucket) / "films"
    here.mkdir()
    for index in range(2):
        film = video.encode_mp4(moving_square(index, 24, height=32, width=48), 12)
        (here / f"{index}.mp4").write_bytes(film)
        (here / f"{index}.txt").write_text(f"square {index}")
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(here / "still.png")
    (here / "still.txt").write_text("grey")
    (here / "more").mkdir()
    (here / "more/broken.mp4").write_bytes(b"no film")
    (here / "more/broken.txt").write_text("broken")
    (here / ".hidden").write_text("")
    remote.upload(here, there, last="0.txt")
    return here, there


def test_a_folder_of_a_bucket_is_listed_and_cut_as_one_of_this_machine(folders, tmp_path, bucket):
    here, there = folders
    assert listing.list_files(here) == listing.list_files(there)
    spec = FolderSpec(
        str(here), num_frames=9, fps=12, storage_size=32, validation_fraction=0.0, max_lost=0.5
    )
    mine = build_folder(tmp_path / "data", spec)
    theirs = build_folder(bucket, dataclasses.replace(spec, path=str(there)), num_processes=2)
    for split in ("train",):
        assert_same_rows(storage.open_split(mine, split), storage.open_split(theirs, split))
    assert storage.read_report(mine) == storage.read_report(theirs)
    assert not theirs.with_name(theirs.name + ".parts").exists()
    shutil.rmtree(here)
    (there / "2.mp4").write_bytes((there / "0.mp4").read_bytes())
    with pytest.raises(ValueError, match=f"1 videos of {there} have no caption: '?2.mp4"):
        builder.list_captioned(there)


def test_a_build_of_a_bucket_goes_on_with_films_that_were_not_done(folders, bucket, monkeypatch):
    spec = FolderSpec(
        str(folders[1]), num_frames=9, fps=12, storage_size=32, validation_fraction=0.0
    )
    with pytest.raises(ValueError, match="1 of the 4 files of .* are lost"):
        build_folder(bucket, spec)
    done = [path for path in remote.names(remote.place(bucket)) if ".parts/" in path]
    assert done
    (folders[1] / "more/broken.mp4").unlink()
    (folders[1] / "more/broken.txt").unlink()
    read, kept = [], transcoding.transcode
    watched = lambda file, spec: read.append(file.name) or kept(file, spec)  # noqa: E731
    monkeypatch.setattr(transcoding, "transcode", watched)
    assert len(storage.open_split(build_folder(bucket, spec), "train")) == 5
    assert len(read) == 3 - len(done)
