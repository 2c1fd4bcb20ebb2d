"""Several sources in one training: shares, exactness, and what was precomputed of each."""

import dataclasses
import json
import re

import numpy as np
import pytest
from clips import clip_record

from configs import pretrain
from seedance_jax.data import schema, sources, tokenizer, transforms
from seedance_jax.data.builders import folder, storage
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.stages import settings

BUCKETS = ((9, 32, 32, 2, 1.0), (1, 32, 32, 4, 1.0))
COUNTS = {"first": 5, "second": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data part of a config with two sections of folders, both built, of 12 and 24 fps."""
    root = tmp_path_factory.mktemp("mixed")
    data = {"data_dir": str(root), "buckets": BUCKETS, "text_length": 24, "num_processes": 1}
    data |= {"num_threads": 1, "num_workers": 0, "source": "first:3,second:1"}
    for name, count in COUNTS.items():
        films = root / f"{name}_films"
        films.mkdir()
        (films / "film.mp4").touch()
        fps = 12.0 if name == "first" else 24.0
        spec = folder.FolderSpec(str(films), 9, fps, 32, validation_fraction=0.0)
        data[name] = dataclasses.asdict(spec) | {"source": "folder"}
        records = [clip_record(i, caption=f"{name} {i}") | {"fps": fps} for i in range(count)]
        with storage.writing(folder.folder_directory(root, spec)) as draft:
            splits = {"train": lambda records=records: records}
            rows = storage.write_records(draft, "clips", schema.CLIP, splits)
            storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
            storage.write_json(draft / "spec.json", {})
    return data


@pytest.fixture(scope="module")
def tables(data):
    """{source: side tables}: latents of the rows of `first` are 1, of `second` 2."""
    opened = {}
    for value, (name, own) in enumerate(zip(COUNTS, sources.sources_of(data), strict=True), 1):
        rows = sources.open_split(own.data, "train")
        latents = {}
        for bucket in sources.make_buckets(BUCKETS):
            block = np.full(transforms.latent_shape(*bucket.shape), value, np.float32)
            made = [(rows[i]["id"], block, block) for i in range(len(rows))]
            directory = storage.dataset_directory(data["data_dir"], name, {"frames": bucket.frames})
            latents[bucket] = open_table(build_latents(directory, made, {}), "latents", {})
        opened[own.data["folder"]["path"]] = {"latents": latents}
    return opened


def training(data, tables, **options):
    side_tables = lambda own: tables[own["folder"]["path"]]  # noqa: E731
    return sources.open_training(data, seed=3, side_tables=side_tables, **options)


def source_of(batch):
    """1 or 2, the source of a batch: by its latents; its captions and frame rate must agree."""
    (value,) = np.unique(batch["latents"])
    name = list(COUNTS)[int(value) - 1]
    assert all(tokenizer.decode(ids).startswith(name) for ids in batch["text"])
    moving = batch["latents"].shape[1] > 1
    expected = {1: 12.0, 2: 24.0}[int(value)] if moving else np.nan
    np.testing.assert_array_equal(batch["fps"], np.float32(expected))
    assert batch["index"].max() < COUNTS[name]
    return int(value)


def test_batches_come_from_each_source_by_its_weight_with_its_own_rows(data, tables):
    dataset = training(data, tables)
    batches = [dataset[step] for step in range(48)]
    assert np.bincount([source_of(batch) for batch in batches]).tolist() == [0, 36, 12]
    frames = [(source_of(batch), batch["latents"].shape[1]) for batch in batches]
    assert {pair: frames.count(pair) for pair in frames} == {
        (1, 3): 18,
        (1, 1): 18,
        (2, 3): 6,
        (2, 1): 6,
    }


def test_a_mixture_is_a_function_of_the_step_on_any_number_of_processes(data, tables):
    dataset = training(data, tables)
    parts = [training(data, tables, part=(i, 2)) for i in range(2)]
    for step in reversed(range(12)):
        whole, halves = dataset[step], [part[step] for part in parts]
        for name, array in whole.items():
            np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), array)
    iterator = sources.iterate(data, dataset, 5)
    next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    iterator.close()
    again = sources.iterate(data, training(data, tables), 0)
    again.set_state(state)
    for step in (6, 7):
        batch = next(again)
        np.testing.assert_array_equal(batch["index"], dataset[step]["index"])
        np.testing.assert_array_equal(batch["latents"], dataset[step]["latents"])
    again.close()


def test_the_first_source_is_drawn_as_if_it_were_alone(data, tables):
    alone, mixed = training(data | {"source": "first"}, tables), training(data, tables)
    drawn = [batch for batch in (mixed[step] for step in range(16)) if source_of(batch) == 1]
    for step, batch in enumerate(drawn):
        np.testing.assert_array_equal(batch["index"], alone[step]["index"])


def test_validation_and_the_frame_rate_go_by_the_first_source(data):
    assert len(sources.open_split(data, "train")) == COUNTS["first"]
    assert sources.clip_fps(data) == 12.0
    other = data | {"source": "second,first"}
    assert len(sources.open_split(other, "train")) == COUNTS["second"]
    assert sources.clip_fps(other) == 24.0
    assert sources.frame_rates(other) == [12.0, 24.0]
    halved = [*BUCKETS, (5, 32, 32, 2, 1.0, 2)]
    assert sources.frame_rates(other | {"buckets": halved}) == [6.0, 12.0, 24.0]
    assert [weight for _, weight in sources.sources_of(other)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("first,third", r"'third' is not one of \['first', 'folder', 'second', 'world'\]"),
        ("first:2,first", "names a source twice"),
        ("first:0,second", "the weight '0' is no positive number"),
        ("first:much", "the weight 'much' is no positive number"),
        ("first:", "the weight '' is no positive number"),
        ("first:1,", "'first:1,' has an empty name"),
    ],
)
def test_names_and_weights_that_do_not_fit_are_said(data, source, said):
    with pytest.raises(ValueError, match=said):
        sources.sources_of(data | {"source": source})


def test_a_bucket_that_one_source_cannot_serve_is_an_error(data, tables):
    with pytest.raises(ValueError, match="none of 5 rows can serve"):
        training(data | {"buckets": ((17, 32, 32, 2, 1.0),)}, {path: {} for path in tables})
    short = data | {"second": data["second"] | {"num_frames": 5}}
    with pytest.raises(ValueError, match="num_frames=5 makes clips that cannot serve"):
        sources.build(short)
    lacking = {path: {"latents": {}} for path in tables}
    with pytest.raises(ValueError, match="no latents for Bucket"):
        training(data, lacking)


def test_rows_of_another_source_are_refused(data, tables):
    [first, second] = tables
    swapped = {first: tables[second], second: tables[first]}
    with pytest.raises(ValueError, match="3 latents for the 5 rows of Bucket"):
        training(data, swapped)


def test_sources_of_several_frame_rates_are_refused_where_the_model_does_not_know(data):
    sources.check_frame_rates(data | {"source": "second"})
    with pytest.raises(
        ValueError, match=r"first:3,second:1' mixes frame rates, \[12.0, 24.0\]"
    ) as error:
        sources.check_frame_rates(data)
    flag = re.search("--config.(model.conditions)=([a-z]+)$", str(error.value))
    config = pretrain.get_config("smoke")
    config.update_from_flattened_dict({flag[1]: (flag[2],)})
    settings.check_model(config.model.to_dict())
