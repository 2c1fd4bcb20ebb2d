"""Training with a filter: kept rows alone, latents of before, and what a resumed run asks for."""

import dataclasses

import numpy as np
import pytest
from clips import clip_record

from seedance_jax.data import loader, schema, sources, tokenizer, transforms
from seedance_jax.data.builders import folder, storage
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.data.curation import scores, selection

BUCKETS = ((9, 32, 32, 2, 1.0), (1, 32, 32, 4, 1.0))
ROWS = 12
LABELS = {"bright": "exposure > 0.5", "slow": "motion < 0.01"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data part of a config of two folders that are built and scored; row 4 is short."""
    root = tmp_path_factory.mktemp("selection")
    data = {"data_dir": str(root), "buckets": BUCKETS, "text_length": 24, "num_processes": 1}
    data |= {"num_threads": 1, "num_workers": 0, "source": "first:3,second:1", "labels": LABELS}
    for name, first in (("first", 0), ("second", 100)):
        films = root / f"{name}_films"
        films.mkdir()
        (films / "film.mp4").touch()
        spec = folder.FolderSpec(str(films), 9, 12.0, 32, validation_fraction=0.0)
        data[name] = dataclasses.asdict(spec) | {"source": "folder"}
        records = [clip_record(first + i) for i in range(ROWS)]
        records[4] = clip_record(first + 4, num_frames=5)
        directory = folder.folder_directory(root, spec)
        with storage.writing(directory) as draft:
            splits = {"train": lambda records=records: records}
            rows = storage.write_records(draft, "clips", schema.CLIP, splits)
            storage.write_json(draft / "report.json", {"rows": rows, "lost": []})
            storage.write_json(draft / "spec.json", {})
        scores.build(directory, "train", scores.DEFAULT, root)
    return data


def columns_of(own):
    found, _ = scores.open_table(sources.locate(own), "train", "aesthetic", own["data_dir"])
    return found


def chosen(data, source="first", text="exposure > {:.6f} and num_frames == 9"):
    """(data with a filter that keeps about half of the rows of a source, those rows)."""
    alone = data | {"source": source}
    own = sources.sources_of(alone)[0].data
    exposure = columns_of(own)["exposure"]
    middle = float(np.median(exposure))
    rows = np.flatnonzero((exposure > np.float32(round(middle, 6))) & (np.arange(ROWS) != 4))
    return alone | {"filter": text.format(middle)}, rows


def test_training_sees_the_kept_rows_alone_and_all_of_them(data):
    filtered, rows = chosen(data)
    dataset = sources.open_training(filtered, seed=0)
    seen = np.concatenate([dataset[step]["index"] for step in range(30)])
    assert 3 < len(rows) < 9
    assert set(seen) == set(rows)
    everything = sources.open_training(data | {"source": "first", "filter": ""}, seed=0)
    seen = np.concatenate([everything[step]["index"] for step in range(30)])
    assert set(seen) == set(range(ROWS))


def test_every_source_is_filtered_by_its_own_scores(data):
    filtered, _ = chosen(data)
    both = data | {"filter": filtered["filter"], "source": "first:1,second:1"}
    dataset, seen = sources.open_training(both, seed=0), ({}, {})
    for step in range(60):
        batch = dataset[step]
        for row, ids in zip(batch["index"], batch["text"], strict=True):
            number = int(tokenizer.decode(ids).removeprefix("square "))
            seen[number >= 100].setdefault(int(row), number)
    for own, found in zip(sources.sources_of(both), seen, strict=True):
        select = selection.select(own.data, sources.locate(own.data), "train")
        assert set(found) == set(np.flatnonzero(select.kept))


def test_latents_that_were_made_before_serve_any_filter(data, tmp_path):
    filtered, rows = chosen(data)
    source = sources.open_split(filtered, "train")
    tables = {}
    for bucket in sources.make_buckets(BUCKETS):
        shape = transforms.latent_shape(*bucket.shape)
        serving = [batch["index"][batch["valid"]] for batch in loader.eval_batches(source, bucket)]
        made = (
            (source[int(row)]["id"], np.full(shape, row, np.float32), np.full(shape, -row))
            for row in np.concatenate(serving)
        )
        place = build_latents(tmp_path / str(bucket.frames), made, {})
        tables[bucket] = open_table(place, "latents", {})
    dataset = sources.open_training(filtered, seed=0, side_tables=lambda own: {"latents": tables})
    seen = set()
    for step in range(30):
        batch = dataset[step]
        for row, latents in zip(batch["index"], batch["latents"], strict=True):
            np.testing.assert_array_equal(latents, np.float32(row))
            seen.add(int(row))
    assert seen == set(rows)


def test_captions_of_dropped_rows_may_be_too_long(data):
    long = data | {"source": "first", "text_length": 9}  # "square 10" and a start are 10
    with pytest.raises(ValueError, match="text_length=9 is too short"):
        sources.open_training(long, seed=0)
    dataset = sources.open_training(long | {"filter": "caption_tokens <= 9"}, seed=0)
    assert max(dataset[step]["index"].max() for step in range(20)) < 10


def test_a_filter_that_keeps_nothing_of_a_bucket_says_what_each_condition_keeps(data):
    alone = data | {"source": "first"}
    with pytest.raises(ValueError, match="keeps none of 11 rows of Bucket.frames=9.*") as error:
        sources.open_training(alone | {"filter": "num_frames < 9 and exposure > 0"}, seed=0)
    assert str(error.value).endswith("{'num_frames < 9': 0, 'exposure > 0': 11}")
    with pytest.raises(ValueError, match="keeps none of 11 rows") as error:
        sources.open_training(alone | {"filter": "bright and not bright"}, seed=0)
    assert "'not bright': " in str(error.value)


def test_scores_that_are_missing_are_asked_for(data, tmp_path):
    alone = data | {"source": "first", "filter": "known_motion > 3"}
    with pytest.raises(ValueError, match="score --config=... --split=train --scorers=known_camera"):
        sources.open_training(alone, seed=0)


def test_the_identity_is_what_rows_are_kept_by(data):
    def identity(**fields):
        return sources.filter_identity(data | fields)

    assert identity() == identity(filter=" ") == {}
    found = identity(filter="bright and num_frames > 3")["filter"]
    assert found.keys() == {"first", "second"}
    assert found["first"]["keeps"] == "exposure > 0.5 and num_frames > 3"
    assert found["first"]["scores"].keys() == {"aesthetic"}
    assert found["first"]["scores"] != found["second"]["scores"]
    labels = LABELS | {"slow": "motion < 3"}
    assert identity(filter="bright and num_frames > 3", labels=labels)["filter"] == found
    labels = LABELS | {"bright": "exposure > 0.4"}
    assert identity(filter="bright and num_frames > 3", labels=labels)["filter"] != found
    assert identity(filter="num_frames > 3")["filter"]["first"]["scores"] == {}


def test_illegal_labels_are_refused_even_if_nothing_uses_them(data):
    with pytest.raises(ValueError, match=r"data\.labels\.bad='motoin > 3': no column 'motoin'"):
        selection.parse(data | {"labels": {"bad": "motoin > 3"}})
    with pytest.raises(ValueError, match=r"data\.labels\.motion: a column has this name"):
        selection.parse(data | {"labels": {"motion": "shake > 3"}})
    with pytest.raises(ValueError, match="no column 'shot_frames'; .*legal columns: "):
        selection.parse(data | {"filter": "shot_frames > 3"})
