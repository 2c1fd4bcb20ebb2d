"""Samples of a model against the true clip, a wrong prompt, fewer steps and fewer given frames."""

import json
import shutil

import numpy as np
import pytest

from seedance_jax.data.buckets import Bucket
from seedance_jax.data.preferences import comparison_batches, sample_pairs
from seedance_jax.data.preferences.comparisons import Comparisons
from seedance_jax.data.video import decode_mp4, encode_mp4
from seedance_jax.sampling import media

BUCKET = Bucket(9, 32, 48, 1)
ALL = sample_pairs.QUALITY


def opened(found, bucket=BUCKET, axes=ALL):
    return Comparisons("own", found, bucket, axes)


def sample(folder, prompts, shape=(13, 32, 32), **settings):
    """A folder as `seedance_jax sample` writes it, of clips of noise."""
    folder.mkdir()
    for seed, prompt in enumerate(prompts):
        frames = np.random.default_rng(seed).integers(0, 255, (*shape, 3), np.uint8)
        size = dict(zip(("num_frames", "height", "width"), shape, strict=True))
        about = {"prompt": prompt, "seed": seed, "given_frames": [], **size, **settings}
        media.write_clip(folder, frames, 12, about)
    return str(folder)


def test_the_true_clip_beats_a_sample_of_its_caption(scenes, tmp_path):
    captions = list(scenes.captions)
    folder = sample(tmp_path / "own", [*captions[:3], "A dog barks."])
    found = sample_pairs.true_render_pairs(scenes, folder)
    comparisons = opened(found, Bucket(13, 32, 32, 1))
    assert len(comparisons) == 3 * len(ALL)
    for number, comparison in enumerate(comparisons):
        caption = captions[number // 3]
        assert comparison.prompts == (caption, caption)
        assert (comparison.label, comparison.good[0]) == (1.0, 1.0)
        row = scenes.rows[scenes.captions[caption]["row"]]
        true, fps = decode_mp4(row["video"])  # and as `sample` would have written it
        assert np.array_equal(comparison.clips[0], decode_mp4(encode_mp4(true, fps))[0])
        sampled = decode_mp4(tmp_path / "own" / f"{number // 3:04d}.mp4")[0]
        assert np.array_equal(comparison.clips[1], sampled)
    assert {axis for axis, _ in comparisons.counts()} == set(ALL)
    assert found.notes == [f"{folder}: 1 samples are not of captions of these scenes"]


def test_a_sample_beats_itself_with_a_wrong_prompt(scenes, tmp_path):
    captions = list(scenes.captions)
    folder = sample(tmp_path / "own", captions[:2])
    comparisons = opened(sample_pairs.edited_prompt_pairs(scenes, folder), Bucket(13, 32, 32, 1))
    edits = [edit for caption in captions[:2] for edit in scenes.captions[caption]["edits"]]
    assert len(comparisons) == len(edits)
    for comparison, edit in zip(comparisons, edits, strict=True):
        assert np.array_equal(*comparison.clips)
        assert comparison.prompts[1] == edit["caption"]
        assert np.array_equal(comparison.good, [np.nan, 0.0], equal_nan=True)
        assert (comparison.label, comparison.dimension) == (1.0, "prompt_following")


def test_samples_of_no_caption_or_another_size_are_refused(scenes, tmp_path):
    folder = sample(tmp_path / "dogs", ["A dog barks."])
    for find in (sample_pairs.true_render_pairs, sample_pairs.edited_prompt_pairs):
        with pytest.raises(ValueError, match="none of the 1 samples.*captions_train.txt"):
            find(scenes, folder)
    folder = sample(tmp_path / "small", list(scenes.captions)[:1], (9, 32, 32))
    with pytest.raises(ValueError, match="two sizes:\n.*true clip of scene"):
        sample_pairs.true_render_pairs(scenes, folder)


def test_more_steps_are_better_in_whatever_order_the_folders_are_named(write, tmp_path):
    few = write(tmp_path / "few", 1.0, num_inference_steps=4)
    many = write(tmp_path / "many", 3.0, count=2, num_inference_steps=30)
    for folders in ((few, many), (many, few)):
        found = sample_pairs.more_steps_pairs([str(folder) for folder in folders], ALL[1:])
        comparisons = opened(found)
        assert len(comparisons) == 2 * 2
        [note] = found.notes
        assert note.startswith(f"{few}: 1 of its clips have no partner in {many}, as ")
        for number, comparison in enumerate(comparisons):
            better = decode_mp4(many / f"{number // 2:04d}.mp4")[0]
            assert np.array_equal(comparison.clips[0], better)
            assert not np.array_equal(comparison.clips[1], better)
            assert (comparison.label, comparison.kind) == (1.0, "more_steps")


def test_more_given_frames_are_better(write, tmp_path):
    few = write(tmp_path / "few", 1.0, count=1)
    many = write(tmp_path / "many", 3.0, count=1)
    for folder, given in ((few, [0]), (many, [0, 1, 2, 3, 4])):
        sidecar = folder / "0000.json"
        told = json.loads(sidecar.read_text()) | {"given_frames": given}
        sidecar.write_text(json.dumps(told))
    found = sample_pairs.more_given_pairs([str(few), str(many)], ("motion_quality",))
    [comparison] = opened(found)
    assert np.array_equal(comparison.clips[0], decode_mp4(many / "0000.mp4")[0])
    assert (comparison.label, comparison.kind) == (1.0, "more_given")


def test_folders_that_do_not_differ_are_refused(write, tmp_path):
    one, other = (
        str(write(tmp_path / name, 1.0, num_inference_steps=4)) for name in ("one", "other")
    )
    with pytest.raises(ValueError, match="do not differ: more steps is asked for, and both have 4"):
        sample_pairs.more_steps_pairs([one, other])
    with pytest.raises(ValueError, match="do not differ: more given is asked.* both have 0"):
        sample_pairs.more_given_pairs([one, other])
    with pytest.raises(ValueError, match="must be two folders"):
        sample_pairs.more_steps_pairs([one, one])
    bare = str(write(tmp_path / "bare", 1.0))
    with pytest.raises(ValueError, match="its sidecar has no num_inference_steps"):
        sample_pairs.more_steps_pairs([one, bare])
    with pytest.raises(ValueError, match="dimension 'sound' is not one of"):
        sample_pairs.more_given_pairs([one, bare], ("sound",))
    shutil.rmtree(bare)
    with pytest.raises(FileNotFoundError, match="not a folder of samples"):
        sample_pairs.more_steps_pairs([one, bare])


def test_samples_are_mixed_with_scenes(data, preferences, scenes, tmp_path):
    folder = sample(tmp_path / "own", list(scenes.captions)[:2])
    preferences |= {"source": "edits:1,policy:1"}
    preferences["policy"] = {"source": "true_renders", "folder": folder}
    data = data | {"buckets": data["buckets"][:1]}
    dataset = comparison_batches.open_training(data, preferences, seed=0)
    assert {int(number) for step in range(4) for number in dataset[step]["source"]} == {0, 1}
