"""A small data set for the tests of the data layer."""

import pytest
from clips import clip_record, write_clips

from seedance_jax.data.builders import storage


@pytest.fixture(scope="session")
def clips_directory(tmp_path_factory):
    """24 clips of 9 frames; row 3 has 5 frames, row 5 is 16 pixels high."""
    directory = tmp_path_factory.mktemp("clips") / "set"
    records = [clip_record(index) for index in range(24)]
    records[3] = clip_record(3, num_frames=5)
    records[5] = clip_record(5, height=16)
    write_clips(directory, records)
    return directory


@pytest.fixture(scope="session")
def source(clips_directory):
    """The rows of `clips_directory`."""
    return storage.open_split(clips_directory, "train")
