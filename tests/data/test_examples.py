"""What a batch has besides text and pixels: only what is asked for, of the frames that it shows."""

import numpy as np
import pytest
from clips import clip_record, world_record, write_clips

from seedance_jax.data import loader, schema, tokenizer, transforms
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.builders.side_tables import build_latents, open_table
from seedance_jax.data.examples import Wanted

BUCKETS = (Bucket(5, 32, 32, 4), Bucket(1, 32, 32, 4))
ALL = Wanted(truth=schema.TRUTH, motion=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Clips of 9 frames of 32x48 with ground truth."""
    directory = tmp_path_factory.mktemp("world") / "set"
    return write_clips(directory, [world_record(index) for index in range(8)])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """The like without ground truth."""
    directory = tmp_path_factory.mktemp("films") / "set"
    return write_clips(directory, [clip_record(index) for index in range(8)])


def make(source, wanted=ALL, **options):
    options = {"text_length": 24, "seed": 0, "buckets": BUCKETS} | options
    return loader.make_dataset(source, wanted=wanted, **options)


def test_only_what_is_asked_for_is_there(world):
    plain = make(world, Wanted())[0].keys()
    assert make(world)[0].keys() - plain == {*schema.TRUTH, "motion_text", "motion_text_mask"}
    assert make(world, Wanted(truth=("gravity",)))[0].keys() - plain == {"gravity"}


def test_batches_of_a_simulation_and_of_real_clips_are_alike_and_as_promised(world, films):
    known, unknown = make(world), make(films)
    for step in range(4):
        for name, array in known[step].items():
            field = schema.EXAMPLE[name]
            assert (array.dtype, array.ndim) == (field.dtype, 1 + len(field.shape))
            assert (array.dtype, array.shape) == (unknown[step][name].dtype, array.shape)
        for name in schema.TRUTH:
            assert np.isfinite(known[step][name]).all()
            assert np.isnan(unknown[step][name]).all()
        assert not unknown[step]["motion_text_mask"].any()
        np.testing.assert_array_equal(known[step]["gravity"], 5.0 + known[step]["index"])
        for row, ids in zip(known[step]["index"], known[step]["motion_text"], strict=True):
            assert tokenizer.decode(ids) == f"moves {row}"


def test_a_batch_is_a_function_of_its_step(world):
    once, again = make(world), make(world)
    halves = [make(world, part=(index, 2)) for index in range(2)]
    iterator = loader.make_iterator(again, 2, num_workers=2, buffer=2)
    for step in (3, 2):
        together = [half[step] for half in halves]
        for name, array in once[step].items():
            np.testing.assert_array_equal(array, again[step][name])
            np.testing.assert_array_equal(np.concatenate([half[name] for half in together]), array)
    for step in (2, 3):
        batch = next(iterator)
        for name, array in once[step].items():
            np.testing.assert_array_equal(array, batch[name])
    iterator.close()


def test_what_else_is_asked_for_changes_nothing_of_the_rest(world):
    plain, more = make(world, Wanted()), make(world)
    for step in range(4):
        batch = more[step]
        for name, array in plain[step].items():
            np.testing.assert_array_equal(array, batch[name])


def test_cameras_are_of_the_frames_and_of_the_crop_that_are_shown(world):
    """The background is a ramp from left to right, which tells where the crop begins."""
    dataset, lefts = make(world, buckets=[BUCKETS[0]]), set()
    for step in range(6):
        batch = dataset[step]
        for i, row in enumerate(batch["index"]):
            green = np.median(batch["video"][i, ..., 1], axis=(0, 1)).astype(float)
            seen = np.median(green * 48 / 255 - np.arange(32))
            camera, stored = batch["camera"][i], world[int(row)]
            middle = -camera[0, 0, 2] / camera[0, 0, 0]  # of the lens, in frames
            np.testing.assert_allclose(24 - 32 * middle, seen, atol=0.5)
            lefts.add(round(24 - 32 * middle))
            # The camera goes 1/16 m a frame: over the four frames of a latent frame a quarter.
            np.testing.assert_allclose(np.linalg.norm(camera[1, :, 3]), 0.25, rtol=1e-4)
            x = batch["states"][i, 0, 0, 0]
            places = [projected(stored, frame) for frame in range(9)]
            assert min(abs(32 * x + round(seen) - place) for place in places) < 1e-3
    assert len(lefts) > 5


def projected(row, frame):
    """The pixel column of the first object in a stored frame."""
    point = row["object_position"][frame, 0]
    local = row["camera_rotation"][frame] @ point + row["camera_translation"][frame]
    u, _, w = row["camera_intrinsics"][frame] @ local
    return u / w


def test_latents_come_with_the_truth_of_the_frames_that_they_were_made_of(world, tmp_path):
    bucket = BUCKETS[0]
    shape = transforms.latent_shape(*bucket.shape)
    rows = [(world[row]["id"], np.zeros(shape), np.zeros(shape)) for row in range(8)]
    latents = open_table(build_latents(tmp_path / "latents", rows, {}), "latents", {})
    tables = {"latents": {bucket: latents}}
    batch = make(world, buckets=[bucket], side_tables=tables)[0]
    for i, row in enumerate(batch["index"]):
        middle = -batch["camera"][i, 0, 0, 2] / batch["camera"][i, 0, 0, 0]
        np.testing.assert_allclose(middle, 0.5, atol=1e-5)
        x = batch["states"][i, :, 0, 0]
        expected = [(projected(world[int(row)], frame) - 8) / 32 for frame in (2, 6)]
        np.testing.assert_allclose(x, expected, atol=1e-4)


def test_motion_only_captions_that_do_not_fit_are_said_at_once(tmp_path):
    records = [world_record(0) | {"caption_motion": "x" * 24}, world_record(1)]
    source = write_clips(tmp_path / "set", records)
    make(source, Wanted(truth=schema.TRUTH))
    with pytest.raises(ValueError, match="text_length=24 .* a motion-only caption of 25 tokens"):
        make(source)
