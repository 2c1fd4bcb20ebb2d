import importlib

import numpy as np
import pytest

from configs.base import SIZES
from seedance_jax.data import sources
from seedance_jax.data.buckets import eligible_rows
from seedance_jax.data.world import WorldSpec

SECTION = {
    "world": {"slice": "tiny", "num_frames": 17, "height": 64, "width": 80, "fps": 12, "train": 1},
    "folder": {"path": "films", "num_frames": 17, "fps": 12.0, "storage_size": 64},
}


def cut_in_two(num_frames):
    """The shots of a clip that the world cuts."""
    return " ".join(map(str, WorldSpec(num_frames=num_frames, fps=12).cut_lengths))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["vae", "pretrain"])
def test_the_clips_of_a_shipped_config_serve_all_its_buckets(name, size):
    data = importlib.import_module(f"configs.{name}").get_config(size).data.to_dict()
    world, folder = data["world"], data["folder"]
    stored = {
        "world": (world["num_frames"], world["height"], world["width"]),
        "folder": (folder["num_frames"], folder["storage_size"], folder["storage_size"]),
    }
    for source, clip in stored.items():
        columns = zip(("num_frames", "height", "width"), clip, strict=True)
        table = {column: np.array([value] * 2) for column, value in columns}
        table["shot_frames"] = np.array([str(clip[0]), cut_in_two(clip[0])])
        sources.check_buckets(data | {"source": source})
        for bucket in sources.make_buckets(data["buckets"]):
            assert not eligible_rows(table, bucket)[1]


@pytest.mark.parametrize(
    ("source", "bucket", "said"),
    [
        ("world", (17, 80, 64, 2, 1.0), "data.world.height=64 .* must be 80 or more"),
        ("world", (17, 64, 96, 2, 1.0), "data.world.width=80 .* must be 96 or more"),
        ("world", (9, 64, 64, 2, 1.0, 3), "data.world.num_frames=17 .* must be 25 or more"),
        ("folder", (21, 64, 64, 2, 1.0), "data.folder.num_frames=17 .* must be 21 or more"),
        ("folder", (17, 80, 96, 2, 1.0), "data.folder.storage_size=64 .* must be 80 or more"),
    ],
)
def test_a_build_that_cannot_serve_a_bucket_is_refused_at_once(tmp_path, source, bucket, said):
    fits = (17, 64, 80, 2, 1.0)
    data = {"source": source, "data_dir": str(tmp_path), **SECTION, "buckets": (fits, bucket)}
    with pytest.raises(ValueError, match=said) as error:
        sources.build(data)
    assert str(sources.Bucket(*bucket)) in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("buckets", "fps"),
    [
        (((17, 64, 64, 2, 1.0),), 12),
        (((1, 64, 64, 2, 1.0, 3), (9, 64, 64, 2, 1.0, 2)), 6),  # images do not count
        (((9, 64, 64, 2, 1.0, 2), (17, 64, 64, 2, 1.0)), 6),  # the first
        (((1, 64, 64, 2, 1.0),), 12),
    ],
)
def test_the_frame_rate_is_that_of_the_first_bucket_of_clips(buckets, fps):
    for source in SECTION:
        assert sources.clip_fps({"source": source, **SECTION, "buckets": buckets}) == fps


def test_needs_a_bucket_of_clips():
    assert sources.video_bucket([(1, 64, 64, 8, 1.0), (17, 64, 64, 2, 4.0)]).frames == 17
    with pytest.raises(ValueError, match="bucket of clips"):
        sources.video_bucket([(1, 64, 64, 8, 1.0)])


@pytest.mark.parametrize("makes", ["reward", "motion"])
def test_data_of_a_run_that_no_shipped_config_makes_are_missed_without_a_command(tmp_path, makes):
    data = {"source": "folder", "data_dir": str(tmp_path), **SECTION}
    data["folder"] = data["folder"] | {"validation_fraction": 0.1, "max_lost": 0.0}
    with pytest.raises(ValueError, match="--data_dir, or build it by the config of the run$"):
        sources.check_built(data, makes, "tiny")
    with pytest.raises(ValueError, match="build_data --config=configs/pretrain.py:tiny"):
        sources.check_built(data, "generator", "tiny")
