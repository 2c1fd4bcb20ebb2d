import numpy as np
import pytest
from clips import clip_record, write_clips

from seedance_jax.data import schema
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_latents, open_table


def test_rows_come_back_in_order(clips_directory, source):
    assert [source[index]["id"] for index in range(24)] == [f"clip/{i}" for i in range(24)]
    record = clip_record(7)
    assert source[7] == record
    assert source.table["num_frames"].tolist()[2:5] == [9, 5, 9]
    assert source.table["caption_tokens"][7] == 1 + len(record["caption"])
    assert source.table["shot_frames"].tolist()[2:5] == ["9", "5", "9"]


def test_what_is_not_there_is_named(clips_directory, tmp_path):
    with pytest.raises(ValueError, match=r"no split 'test' .* \['train'\]"):
        storage.open_split(clips_directory, "test")
    with pytest.raises(ValueError, match="no complete data set"):
        storage.open_split(tmp_path / "nothing", "train")


def test_a_failed_build_leaves_nothing_and_a_killed_one_is_built_again(tmp_path):
    directory = tmp_path / "set"
    broken = [clip_record(0), clip_record(1) | {"caption": 3}]
    with pytest.raises(ValueError, match="caption is int"):
        write_clips(directory, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["set.lock"]
    for name in ("set", "set.incomplete"):  # as a killed process leaves them
        (tmp_path / name / "clips").mkdir(parents=True)
    assert len(write_clips(directory, [clip_record(0)])) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.lock"]


def test_a_complete_data_set_is_not_written_again(clips_directory):
    with storage.writing(clips_directory) as draft:
        assert draft is None


def test_other_specs_have_other_directories(tmp_path):
    specs = [{"a": 1}, {"a": 2}, {"a": 1, "b": 1}]
    directories = {storage.dataset_directory(tmp_path, "world", spec) for spec in specs}
    assert len(directories) == 3
    assert storage.dataset_directory(tmp_path, "world", {"a": 1}) in directories


def test_a_record_that_breaks_the_schema_is_named():
    record = clip_record(0)
    schema.check_record(record, schema.CLIP)
    with pytest.raises(ValueError, match=r"missing fields \['fps'\]"):
        schema.check_record({k: v for k, v in record.items() if k != "fps"}, schema.CLIP)
    arrays = {name: np.zeros((1, 2, 2, 16)) for name in ("latents", "stills")}
    with pytest.raises(ValueError, match="latents is ndarray of shape"):
        schema.check_record({"id": "a", **arrays}, schema.LATENTS)


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="split 'train' has no records"):
        write_clips(tmp_path / "set", [])


def test_latents_of_something_else_name_what_differs(tmp_path):
    made_of = {"vae": "abc", "bucket": (9, 32, 48), "split": "train"}
    values = [np.full((3, 2, 3, 48), i + 0.5, np.float32) for i in range(3)]
    rows = [(f"clip/{i}", array, -array) for i, array in enumerate(values)]
    directory = build_latents(tmp_path / "latents", iter(rows), made_of)
    source = open_table(directory, "latents", made_of)
    assert [float(source[i]["latents"][0, 0, 0, 0]) for i in range(3)] == [0.5, 1.5, 2.5]
    assert [float(source[i]["stills"][0, 0, 0, 0]) for i in range(3)] == [-0.5, -1.5, -2.5]
    assert source[1]["id"] == "clip/1"
    assert build_latents(directory, iter(()), made_of) == directory  # kept
    with pytest.raises(ValueError, match="something else") as error:
        open_table(directory, "latents", made_of | {"vae": "xyz", "bucket": (5, 32, 48), "crop": 1})
    for text in (
        "vae: found 'abc', expected 'xyz'",
        "bucket: found [9, 32, 48]",
        "crop: found None",
    ):
        assert text in str(error.value)
    assert "split" not in str(error.value)
    with pytest.raises(ValueError, match="vae: found 'abc'"):
        build_latents(directory, iter(rows), made_of | {"vae": "xyz"})
