import json

import numpy as np
import pytest

from seedance_jax.data import loader, sources, video
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.world_clips import build_world, world_directory
from seedance_jax.data.world import WorldSpec, generate

pytest.importorskip("mujoco")
pytest.importorskip("numba")
SPEC = WorldSpec(num_frames=13, height=32, width=32, fps=12, slice="tiny")
SPLITS = {"train": 4, "validation": 2}


def record_files(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("*.array_record*")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("world")
    build_world(data_dir, SPEC, SPLITS, num_processes=1, dense=True)
    return data_dir


def test_the_bytes_do_not_depend_on_the_processes(built, tmp_path):
    first = record_files(world_directory(built, SPEC, SPLITS))
    assert len(first) == 2
    assert record_files(build_world(tmp_path, SPEC, SPLITS, num_processes=2)) == first


def test_rows_are_the_generated_clips(built):
    source = storage.open_split(world_directory(built, SPEC, SPLITS), "validation")
    row, clip = source[1], generate("validation", 1, SPEC)
    frames, fps = video.decode_mp4(row["video"])
    assert fps == 12
    error = np.mean((frames.astype(float) - clip["frames"]) ** 2)
    assert 10 * np.log10(255**2 / error) >= 36
    assert json.loads(row["scene"]) == json.loads(clip["scene"])
    for name in ("object_position", "camera_intrinsics", "visibility", "contacts"):
        assert np.array_equal(row[name], clip[name])


def test_dense_truth_lies_row_for_row(built):
    clips = storage.open_split(world_directory(built, SPEC, SPLITS), "train")
    dense = storage.open_split(world_directory(built, SPEC, SPLITS, dense=True), "train")
    assert [dense[i]["id"] for i in range(4)] == [clips[i]["id"] for i in range(4)]
    clip = generate("train", 2, SPEC, dense=True)
    for name in ("depth", "segmentation", "flow", "camera_flow"):
        assert dense[2][name].dtype == clip[name].dtype
        assert np.array_equal(dense[2][name], clip[name], equal_nan=True)


def test_a_config_builds_locates_and_opens(tmp_path):
    data = {
        "source": "world",
        "data_dir": str(tmp_path),
        "num_processes": 1,
        "world": {"slice": "tiny", "num_frames": 13, "height": 32, "width": 32, "fps": 12}
        | {"train": 2, "validation": 1, "held_out_combinations": 0},
        "buckets": ((13, 32, 32, 2, 1.0), (1, 32, 32, 2, 0.5)),
    }
    with pytest.raises(ValueError, match=r"seedance_jax build_data"):
        sources.locate(data)
    assert sources.build(data) == [sources.locate(data)]
    source = sources.open_split(data, "train")
    buckets = sources.make_buckets(data["buckets"])
    batch = loader.make_dataset(source, buckets, text_length=256, seed=0)[0]
    assert batch["video"].shape == (2, 13, 32, 32, 3)
    with pytest.raises(ValueError, match=r"'films' is not one of \['folder', 'world'\]"):
        sources.build(data | {"source": "films"})
    assert sources.build(data | {"world": data["world"] | {"train": 1}}) != sources.build(data)
