"""Clips make a pair if they were made alike, by prompt and seed."""

import json

import pytest
from PIL import Image

from seedance_jax.data.preferences import pairs


def edit(sidecar, **changes):
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changes))


def test_clips_are_paired_by_prompt_and_seed(found, folders):
    assert [pair.seed for pair in found] == [0, 1, 2]
    for pair in found:
        assert [clip.path.parent for clip in pair.clips] == folders
        assert {clip.settings["prompt"] for clip in pair.clips} == {pair.prompt}
    assert [[image.name for image in pair.given] for pair in found] == [["image"], [], []]
    swapped, _ = pairs.pair_folders(folders[::-1])
    assert [pair.id for pair in swapped] == [pair.id for pair in found]


def test_of_three_folders_each_is_paired_with_each(write, tmp_path):
    folders = [
        write(tmp_path / name, speed, 2) for name, speed in zip("abc", (1, 2, 3), strict=True)
    ]
    made, _ = pairs.pair_folders(folders)
    names = ["".join(clip.path.parent.name for clip in pair.clips) for pair in made]
    assert sorted(names) == ["ab", "ab", "ac", "ac", "bc", "bc"]
    assert len({pair.id for pair in made}) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 24}, "0000.mp4 has fps=12, .*0000.mp4 has fps=24"),
        ({"num_frames": 17}, "num_frames=9, .*num_frames=17"),
        ({"given_frames": [0]}, r"given_frames=\[\], .*given_frames=\[0\]"),
        (
            {"files": {"image": {"path": "x", "sha256": "12", "changes": []}}},
            "'12'.*: other images",
        ),
        ({"width": 64}, "0000.mp4 is 48x32; 0000.json says 64x32"),
        ({"file": "0000.npy"}, "0000.npy cannot be shown; sample with --output_type=mp4"),
        ({"file": "0009.mp4"}, "0009.mp4, of 0000.json, does not exist"),
        ({"prompt": "another"}, "have no clips of the same prompt and seed"),
    ],
)
def test_what_differs_is_refused_with_both_values(write, tmp_path, changes, message):
    one, other = (write(tmp_path / name, speed, 1) for name, speed in (("a", 1), ("b", 2)))
    edit(other / "0000.json", **changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pairs.pair_folders([one, other])


def test_steps_and_guidance_may_differ(write, tmp_path):
    one = write(tmp_path / "a", 1, 1, num_inference_steps=30)
    other = write(tmp_path / "b", 2, 1, num_inference_steps=4)
    assert len(pairs.pair_folders([one, other])[0]) == 1


def test_folders_that_cannot_be_compared_are_refused(write, tmp_path):
    one = write(tmp_path / "a", 1, 2)
    for given in ([], [one], [one, one], [one, tmp_path / "x" / ".." / "a"]):
        with pytest.raises(ValueError, match="two or more folders of samples, each once"):
            pairs.pair_folders(given)
    with pytest.raises(FileNotFoundError, match="'nowhere' is not a folder"):
        pairs.pair_folders([one, "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty' has no clips"):
        pairs.pair_folders([one, tmp_path / "empty"])
    same = write(tmp_path / "same", 1, 2)
    with pytest.raises(ValueError, match="all pairs are of equal files"):
        pairs.pair_folders([one, same])
    twice = write(tmp_path / "twice", 2, 2)
    edit(twice / "0001.json", prompt="A red ball rolls to the left.", seed=0)
    with pytest.raises(ValueError, match="0000.mp4 and .*0001.mp4 have the same prompt and seed=0"):
        pairs.pair_folders([one, twice])


def test_files_that_cannot_be_read_are_named(write, tmp_path):
    one, other = write(tmp_path / "a", 1, 1), write(tmp_path / "b", 2, 1)
    (other / "0000.mp4").write_bytes(b"torn")
    with pytest.raises(ValueError, match="b/0000.mp4 cannot be read: "):
        pairs.pair_folders([one, other])
    (other / "0000.json").write_text("{")
    with pytest.raises(ValueError, match="b/0000.json is not JSON"):
        pairs.pair_folders([one, other])


@pytest.mark.parametrize("name", pairs.NEEDED)
def test_a_sidecar_that_lacks_something_is_named(write, tmp_path, name):
    sidecar = write(tmp_path / "a", 1, 1) / "0000.json"
    settings = json.loads(sidecar.read_text())
    del settings[name]
    sidecar.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"a/0000.json, of 0000.mp4, has no {name}$"):
        pairs.read_clip(sidecar)
    sidecar.write_text(json.dumps({"clips": 3}))
    assert pairs.read_clip(sidecar) is None


def test_what_is_left_out_is_told(write, tmp_path):
    image = tmp_path / "first.png"
    Image.new("RGB", (48, 32)).save(image)
    one, other = (write(tmp_path / name, i, 2 + i, image=image) for i, name in enumerate("ab"))
    (one / "report.json").write_text("[1]")
    image.unlink()
    made, notes = pairs.pair_folders([one, other])
    assert len(made) == 2
    assert any("b: 1 of its clips have no partner" in note and "seed 2" in note for note in notes)
    assert any("first.png is not the image that was given" in note for note in notes)
    assert made[0].given == ()


def test_marks_of_editors_and_shadow_files_of_macos_change_nothing(write, tmp_path):
    one, other = write(tmp_path / "a", 1, 1), write(tmp_path / "b", 2, 1)
    before, _ = pairs.pair_folders([one, other])
    sidecar = one / "0000.json"
    sidecar.write_text(sidecar.read_text(), encoding="utf-8-sig")
    (one / "._0000.json").write_bytes(b"\0\5\x16\7\xff")
    after, _ = pairs.pair_folders([one, other])
    assert [pair.id for pair in after] == [pair.id for pair in before]
