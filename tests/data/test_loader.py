import dataclasses
import json
import time

import grain
import numpy as np
import pytest
from clips import clip_record, cut_record, write_clips

from seedance_jax.data import loader, schema, tokenizer, transforms
from seedance_jax.data.buckets import Bucket, clips_per_row, eligible_rows, num_shots
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.data.examples import Wanted, load_example

BUCKETS = (Bucket(9, 32, 48, 4, 2.0), Bucket(5, 16, 16, 8, 1.0), Bucket(1, 32, 32, 4, 1.0))


def make(source, seed=0, buckets=BUCKETS, **kwargs):
    return loader.make_dataset(source, buckets, text_length=24, seed=seed, **kwargs)


def equal(a, b):
    same = lambda x, y: np.array_equal(x, y, equal_nan=x.dtype.kind == "f")  # noqa: E731
    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


def test_the_frame_rate_is_that_of_the_frames_that_are_shown(source):
    buckets = (Bucket(9, 32, 48, 4), Bucket(5, 16, 16, 8, stride=2), Bucket(1, 32, 32, 4))
    dataset = make(source, buckets=buckets)
    batches = [dataset[step] for step in range(3)]
    fps = {batch["frame_shot"].shape[1]: {*batch["fps"].tolist()} for batch in batches}
    assert fps.pop(3) == {12.0}
    assert fps.pop(2) == {6.0}
    assert np.isnan([*fps.pop(1)]).all()


@pytest.fixture(scope="module")
def expected(source):
    dataset = make(source)
    return [dataset[step] for step in range(12)]


def test_a_batch_has_the_promised_form(expected, source):
    for batch in expected:
        size = len(batch["index"])
        assert batch["video"].dtype == np.uint8
        assert batch["video"].shape in [(b.batch_size, *b.shape, 3) for b in BUCKETS]
        unasked = {"latents", "stills", *schema.TRUTH, "motion_text", "motion_text_mask"}
        assert batch.keys() == schema.EXAMPLE.keys() - unasked
        for name, array in batch.items():
            assert array.dtype == schema.EXAMPLE[name].dtype
            assert array.ndim == 1 + len(schema.EXAMPLE[name].shape)
        for name in ("text", "text_mask", "text_shot"):
            assert batch[name].shape == (size, 24)
        frames = batch["video"].shape[1]
        assert batch["frame_shot"].shape == (size, (frames + 3) // 4)
        assert not batch["frame_shot"].any() | batch["text_shot"].any()
        for row, ids in zip(batch["index"], batch["text"], strict=True):
            assert tokenizer.decode(ids) == source[int(row)]["caption"]


def test_a_step_is_a_function_of_its_number(source, expected):
    again = make(source)
    for step in reversed(range(12)):
        assert equal(again[step], expected[step])
    assert not equal(make(source, seed=1)[0], expected[0])


def test_the_batches_do_not_depend_on_threads_workers_or_the_first_step(source, expected):
    for start, options in [(0, {"num_threads": 0}), (5, {}), (3, {"num_workers": 2, "buffer": 2})]:
        iterator = loader.make_iterator(make(source), start, **options)
        assert all(equal(next(iterator), batch) for batch in expected[start : start + 6])
        iterator.close()


def test_no_more_batches_are_made_ahead_than_the_buffer_holds():
    made = []
    dataset = grain.MapDataset.range(1000).map(lambda number: made.append(number) or number)
    iterator = loader.make_iterator(dataset, buffer=3)
    next(iterator)
    time.sleep(0.2)  # of threads that would go on
    iterator.close()
    assert 1 <= len(made) <= 1 + 3


def test_saved_state_resumes(source, expected):
    iterator = loader.make_iterator(make(source), 2)
    next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    next(iterator)
    iterator.set_state(state)
    assert equal(next(iterator), expected[3])
    iterator.close()
    other = loader.make_iterator(make(source, part=(1, 2)), num_threads=1)
    other.set_state(state)
    assert np.array_equal(
        next(other)["index"], expected[3]["index"][len(expected[3]["index"]) // 2 :]
    )
    other.close()


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_global_batch(source, expected, count):
    parts = [make(source, part=(i, count)) for i in range(count)]
    for step, batch in enumerate(expected):
        together = [part[step] for part in parts]
        assert len({local["video"].shape for local in together}) == 1
        assert equal(
            {name: np.concatenate([local[name] for local in together]) for name in batch}, batch
        )


def test_buckets_come_as_often_as_their_weights_say(source, expected):
    schedule = loader.bucket_schedule(BUCKETS, 400)
    assert np.bincount(schedule).tolist() == [200, 100, 100]
    for number, batch in zip(schedule, expected, strict=False):
        assert batch["video"].shape[1:4] == BUCKETS[number].shape


def test_an_epoch_shows_every_eligible_row_once_and_the_next_in_another_order(source):
    rows, _ = eligible_rows(source.table, BUCKETS[0])
    dataset = make(source, buckets=[Bucket(9, 32, 48, len(rows))])
    first, second = dataset[0]["index"], dataset[1]["index"]
    assert sorted(first) == sorted(second) == rows.tolist()
    assert first.tolist() != second.tolist()


def test_buckets_of_the_same_rows_have_orders_of_their_own(source):
    buckets = [Bucket(frames, 16, 16, 24) for frames in (1, 5)]
    first, second = (make(source, buckets=buckets)[step]["index"] for step in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first.tolist() != second.tolist()


def test_a_data_set_ends_after_as_many_examples_however_many_rows_there_are(source):
    assert (
        0.9 * loader.ENDLESS < len(make(source, buckets=[Bucket(1, 16, 16, 1)])) <= loader.ENDLESS
    )


def test_augmentation_differs_between_epochs(source):
    dataset = make(source, buckets=[Bucket(1, 16, 16, 24)])
    first, second = (
        dict(zip(b["index"], b["video"], strict=True)) for b in map(dataset.__getitem__, (0, 1))
    )
    assert any(not np.array_equal(first[row], second[row]) for row in first)


def test_rows_that_cannot_serve_are_counted(source):
    rows, excluded = eligible_rows(source.table, BUCKETS[0])
    assert set(range(24)) - set(rows.tolist()) == {3, 5}
    assert excluded == {"fewer than 9 frames": 1, "smaller than 32x48": 1}
    assert eligible_rows(source.table, BUCKETS[1])[1] == {}
    with pytest.raises(ValueError, match="none of 24 rows can serve"):
        make(source, buckets=[Bucket(13, 32, 32, 4)])
    with pytest.raises(ValueError, match="none of 24 rows can serve"):
        make(source, buckets=[Bucket(5, 16, 16, 4, stride=3)])


def test_long_captions_are_an_error_at_once(tmp_path):
    source = write_clips(tmp_path / "set", [clip_record(0, caption="x" * 30), clip_record(1)])
    with pytest.raises(ValueError, match=r"1 of 2 rows \(the first is row 0\): 31 tokens"):
        make(source)


@pytest.fixture(scope="module")
def cut_source(tmp_path_factory):
    """Clips of 17 frames, cut after 9 and, row 2, after 10; row 3 is a single shot."""
    records = [
        cut_record(index, lengths) for index, lengths in enumerate([(9, 8), (9, 8), (10, 7)])
    ]
    directory = tmp_path_factory.mktemp("cut") / "set"
    return write_clips(directory, [*records, clip_record(3, num_frames=17)])


def test_rows_that_only_start_with_a_cut_inside_a_latent_frame_are_counted(cut_source):
    reason = "a cut inside a latent frame wherever it starts"
    whole = Bucket(17, 32, 32, 4)
    rows, excluded = eligible_rows(cut_source.table, whole)
    assert rows.tolist() == [0, 1, 3]
    assert excluded == {reason: 1}
    for frames in (1, 5, 13):
        assert not eligible_rows(cut_source.table, Bucket(frames, 32, 32, 4))[1]
    assert eligible_rows(cut_source.table, Bucket(9, 32, 32, 4, stride=2))[1] == {}
    assert num_shots(cut_source.table).tolist() == [2, 2, 2, 1]
    assert cut_source.table["caption_tokens"].tolist() == [10 + 7 + 7] * 3 + [9]


def test_batches_tell_of_the_shots_that_they_show(cut_source):
    buckets = [Bucket(17, 32, 32, 6, 1.0), Bucket(5, 32, 32, 16, 1.0), Bucket(9, 32, 32, 8, 1.0, 2)]
    dataset = loader.make_dataset(cut_source, buckets, text_length=24, seed=0)
    cuts = 0
    for step in range(6):
        batch = dataset[step]
        latent = batch["video"][:, ::4].mean((2, 3, 4))
        for i in np.flatnonzero(batch["index"] < 3):
            level = np.round((latent[i] - 40) / 30)
            shown = batch["frame_shot"][i]
            assert np.array_equal(level - level[0], shown)
            pixels = batch["video"][i].mean((1, 2, 3))
            assert np.abs(pixels - np.repeat(latent[i], [1] + [4] * (len(shown) - 1))).max() < 3
            shots = batch["text_shot"][i][batch["text_mask"][i]]
            assert set(shots) == ({-1, 0, 1} if shown.any() else {0})
            cuts += shown.any()
    assert cuts > 10


def test_latents_come_with_the_captions_of_the_frames_that_they_were_made_of(cut_source, tmp_path):
    bucket = Bucket(5, 32, 32, 4)
    [encoded] = loader.eval_batches(cut_source, bucket, text_length=24)
    shape = (*transforms.latent_shape(*bucket.shape),)
    rows = [(cut_source[row]["id"], np.zeros(shape), np.zeros(shape)) for row in range(4)]
    latents = open_table(build_latents(tmp_path / "latents", rows, {}), "latents", {})
    dataset = make(cut_source, buckets=[bucket], side_tables={"latents": {bucket: latents}})
    for step in range(3):
        batch = dataset[step]
        for name in ("text", "text_mask", "text_shot", "frame_shot"):
            assert np.array_equal(batch[name], encoded[name][batch["index"]])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_frames": 16}, "record 'clip/0': shots of 17 frames in a clip of 16"),
        ({"shots": "[]"}, "record 'clip/0': shots must be a list of one or more"),
        ({"caption": " "}, "record 'clip/0': the caption is empty"),
    ],
)
def test_records_whose_shots_are_wrong_are_named(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        write_clips(tmp_path / "set", [cut_record(0, (9, 8)) | change])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"frames": 8}, "4n\\+1"),
        ({"height": 24}, "16, 32"),
        ({"width": 0}, "16, 32"),
        ({"batch_size": 0}, "positive"),
        ({"weight": 0.0}, "positive"),
        ({"stride": 0}, "positive"),
    ],
)
def test_illegal_buckets(fields, match):
    with pytest.raises(ValueError, match=match):
        Bucket(**({"frames": 9, "height": 32, "width": 32, "batch_size": 4} | fields))


def test_illegal_settings(source):
    with pytest.raises(ValueError, match="3 parts must divide"):
        make(source, part=(0, 3))
    with pytest.raises(ValueError, match="part 2 of 2 parts"):
        make(source, part=(2, 2))
    with pytest.raises(ValueError, match="all different"):
        make(source, buckets=[BUCKETS[0], BUCKETS[0]])
    with pytest.raises(ValueError, match="no latents for"):
        make(source, side_tables={"latents": {BUCKETS[0]: []}})
    with pytest.raises(ValueError, match=r"side tables \['depth'\]; legal: \['latents', 'texts'\]"):
        make(source, side_tables={"depth": []})


@pytest.mark.parametrize(("limit", "sizes"), [(None, [8, 8, 6]), (10, [8, 2]), (8, [8])])
def test_evaluation_shows_every_row_once_in_order(source, limit, sizes):
    bucket = Bucket(9, 32, 48, 8)
    batches = list(loader.eval_batches(source, bucket, text_length=24, limit=limit))
    assert [int(batch["valid"].sum()) for batch in batches] == sizes
    assert all(batch["video"].shape == (8, 9, 32, 48, 3) for batch in batches)
    seen = np.concatenate([batch["index"][batch["valid"]] for batch in batches])
    assert seen.tolist() == eligible_rows(source.table, bucket)[0][:limit].tolist()


def test_the_last_batch_of_an_evaluation_is_filled_with_its_last_example(source):
    [*_, last] = loader.eval_batches(source, Bucket(9, 32, 48, 8), text_length=24)
    shown = last["index"][last["valid"]]
    assert last["index"].tolist() == [*shown, shown[-1], shown[-1]]
    assert np.array_equal(last["video"][-1], last["video"][len(shown) - 1])


def test_captions_that_do_not_fit_are_named_before_the_first_batch(source, cut_source):
    with pytest.raises(ValueError, match="text_length=4 is too short for the captions of 24 of 24"):
        loader.make_dataset(source, BUCKETS, text_length=4, seed=0)
    words = dataclasses.replace(tokenizer.BYTES, identity="words", to_ids=lambda text: text.split())
    counts = loader.count_tokens(cut_source, words)
    assert counts.max() > 3
    fits = {"text_length": int(counts.max()), "seed": 0, "wanted": Wanted(words)}
    loader.make_dataset(cut_source, [Bucket(1, 16, 16, 1)], **fits)
    with pytest.raises(ValueError, match=f"the captions of .* {counts.max()} tokens are needed"):
        loader.make_dataset(cut_source, [Bucket(1, 16, 16, 1)], **fits | {"text_length": 3})


def test_captions_need_not_fit_where_no_text_is_wanted(source):
    plain = loader.make_dataset(source, BUCKETS, text_length=None, seed=0)[0]
    assert plain.keys() == {"index", "video"}
    assert np.array_equal(plain["video"], make(source)[0]["video"])
    batch = next(loader.eval_batches(source, BUCKETS[0]))
    assert batch.keys() == {"index", "video", "valid"}


def test_texts_are_of_their_row_also_where_other_rows_cannot_serve(source):
    texts = [
        {"id": source[row]["id"], "tokens": np.full((2, 3), row, np.float16), "shot": np.zeros(2)}
        for row in range(24)
    ]
    batch = make(source, buckets=[Bucket(9, 32, 48, 22)], side_tables={"texts": texts})[0]
    assert {3, 5}.isdisjoint(batch["index"].tolist())
    assert np.array_equal(batch["text"][:, 0, 0], batch["index"])
    assert batch["text_mask"].sum(1).tolist() == [2] * 22


def test_several_clips_of_a_row_are_those_that_were_encoded(source):
    """Of a bucket that a row can serve in several ways, in the order of the rows."""
    bucket, clips = Bucket(5, 32, 32, 4), 3
    eligible, _ = eligible_rows(source.table, bucket)
    numbers = np.repeat(eligible, clips)
    encoded = [
        {"index": int(row), "video": video}
        for batch in loader.eval_batches(source, bucket, clips=clips)
        for row, video in zip(batch["index"], batch["video"], strict=True)
    ][: len(numbers)]
    assert [clip["index"] for clip in encoded] == numbers.tolist()
    firsts = np.concatenate([batch["video"] for batch in loader.eval_batches(source, bucket)])
    assert np.array_equal(firsts[: len(eligible)], [clip["video"] for clip in encoded[::clips]])
    assert len({clip["video"].tobytes() for clip in encoded[:clips]}) > 1
    # What is known of a clip beside its latents is of the same frames and the same part of them.
    element = {"index": eligible[2], "row": source[int(eligible[2])], "side": {}, "clip": 1}
    again = load_example(element, bucket, None, None)
    assert np.array_equal(again["video"], encoded[2 * clips + 1]["video"])
    shape = transforms.latent_shape(*bucket.shape)
    latents = [
        {"id": source[int(row)]["id"], "latents": x, "stills": x}
        for k, row in enumerate(numbers)
        for x in [np.full(shape, k, np.float32)]
    ]
    dataset = make(source, buckets=[bucket], side_tables={"latents": {bucket: latents}})
    drawn = [dataset[step] for step in range(len(numbers) // 4)]  # not quite an epoch
    entries = np.concatenate([batch["latents"][:, 0, 0, 0, 0] for batch in drawn]).astype(int)
    assert len({*entries.tolist()}) == len(entries)
    assert np.array_equal(numbers[entries], np.concatenate([batch["index"] for batch in drawn]))


def test_rows_with_one_clip_to_give_are_encoded_once(source):
    row = {name: column[:1] for name, column in source.table.items()}
    frames, height, width = (int(row[name][0]) for name in ("num_frames", "height", "width"))
    whole = Bucket(frames, height, width, 1)
    assert clips_per_row(row, whole, 4) == 1
    assert clips_per_row(row, dataclasses.replace(whole, frames=frames - 4), 4) == 4
    assert clips_per_row(row, dataclasses.replace(whole, width=width - 16), 4) == 4
    assert clips_per_row(row, dataclasses.replace(whole, frames=frames - 4), 1) == 1


def test_latents_take_the_place_of_the_pixels(source, tmp_path):
    bucket = Bucket(9, 32, 48, 4)
    eligible, _ = eligible_rows(source.table, bucket)
    shape = transforms.latent_shape(*bucket.shape)
    values = [np.full(shape, row, np.float32) for row in eligible]
    rows = [(source[int(row)]["id"], x, -x) for row, x in zip(eligible, values, strict=True)]
    directory = build_latents(tmp_path / "latents", rows, {"vae": "a"})
    latents = open_table(directory, "latents", {"vae": "a"})
    with_pixels = make(source, buckets=[bucket])
    with_latents = make(source, buckets=[bucket], side_tables={"latents": {bucket: latents}})
    for step in range(6):
        batch = with_latents[step]
        assert "video" not in batch
        assert batch["latents"].dtype == np.float32
        assert batch["latents"].shape == (4, 3, 2, 3, 48)
        assert np.array_equal(batch["latents"][:, 0, 0, 0, 0], batch["index"])
        assert np.array_equal(batch["stills"], -batch["latents"])
        assert np.array_equal(batch["index"], with_pixels[step]["index"])
    tables = {"latents": {bucket: latents}}
    [*_, last] = loader.eval_batches(source, bucket, text_length=24, side_tables=tables)
    assert np.array_equal(last["latents"][:, 0, 0, 0, 0], last["index"])
    with pytest.raises(ValueError, match="22 latents for the 24 rows"):
        make(source, buckets=[BUCKETS[1]], side_tables={"latents": {BUCKETS[1]: latents}})
