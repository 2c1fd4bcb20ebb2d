import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from seedance_jax.evaluation import movement, outlines, verdicts

MIRRORED = {"left": "right", "right": "left", "pan left": "pan right", "pan right": "pan left"}
REVERSED = {
    "pan left": "pan right",
    "pan right": "pan left",
    "zoom in": "zoom out",
    "zoom out": "zoom in",
}


def pairs(single_shots):
    return [(asked, seen) for _, asked, seen in single_shots]


@pytest.mark.parametrize(
    ("name", "least"), [("color", 0.95), ("shape", 0.9), ("direction", 0.9), ("camera", 0.9)]
)
def test_true_clips_are_judged_right(single_shots, name, least):
    assert verdicts.accuracy(pairs(single_shots), name) >= least


def test_all_moves_and_shapes_occur(single_shots):
    for name in ("shape", "direction", "camera"):
        assert {asked[name] for _, asked, _ in single_shots} == set(verdicts.JUDGED[name])


def test_ground_truth_agrees_with_the_captions(records):
    for record in records:
        if len(json.loads(record["shots"])) > 1:
            continue
        asked, caption = verdicts.asked_of(record, range(17)), record["caption"]
        assert f" {asked['color']} {asked['shape']} " in caption
        words = {"left": "to the left", "right": "to the right", "down": "falls onto"}
        assert words[asked["direction"]] in caption
        word = asked["camera"].split()[0]
        assert ("is static" if word == "static" else f"camera {word}s") in caption


def test_shuffled_captions_are_right_by_chance_only(single_shots):
    asked, seen = zip(*pairs(single_shots), strict=True)
    expected = verdicts.chance(asked, seen)
    shares = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(asked))
        shuffled = [asked[number] for number in order]
        shares.append(verdicts.summarize(shuffled, seen))
    for name, value in expected.items():
        assert np.mean([share[name] for share in shares]) == pytest.approx(value, abs=0.06)
    assert expected["color_accuracy"] < 0.25
    assert expected["shape_accuracy"] < 0.5
    assert expected["direction_accuracy"] < 0.5


def test_mirrored_clips_go_and_pan_the_other_way(single_shots):
    for clip, _, seen in single_shots[:12]:
        mirrored = verdicts.seen_in(np.ascontiguousarray(clip[:, :, ::-1]))
        for name in ("direction", "camera"):
            assert mirrored[name] == MIRRORED.get(seen[name], seen[name])
        assert mirrored["color"] == seen["color"]


def test_cameras_of_reversed_clips_move_the_other_way(single_shots):
    moving = [clip for clip in single_shots if clip[2]["camera"] != "static"]
    assert moving
    for clip, _, seen in moving:
        back = verdicts.seen_in(np.ascontiguousarray(clip[::-1]))["camera"]
        assert back == REVERSED[seen["camera"]]


def test_what_goes_aside_comes_back_in_reversed_clips(single_shots):
    aside = [clip for clip in single_shots if clip[2]["direction"] in ("left", "right")]
    back = [
        verdicts.seen_in(np.ascontiguousarray(clip[::-1]))["direction"] for clip, *_ in aside[:10]
    ]
    assert back == [MIRRORED[seen["direction"]] for *_, seen in aside[:10]]


def test_blur_hardly_changes_the_verdicts(single_shots):
    blurred = [
        (asked, verdicts.seen_in(gaussian_filter(clip, (0, 1, 1, 0))))
        for clip, asked, _ in single_shots[:16]
    ]
    for name in verdicts.JUDGED:
        assert verdicts.accuracy(blurred, name) >= 0.8


def test_a_noisy_still_is_static_and_goes_nowhere(single_shots):
    for clip, *_ in single_shots[:8]:
        noise = np.random.default_rng(0).normal(0, 2, clip.shape)
        seen = verdicts.seen_in(np.clip(clip[:1] + noise, 0, 255).astype(np.uint8))
        assert (seen["direction"], seen["camera"], seen["frozen"]) == (None, "static", True)


def test_noise_is_nothing():
    noise = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8)
    seen = verdicts.seen_in(noise)
    assert (seen["color"], seen["shape"], seen["direction"]) == (None, None, None)
    assert seen["camera"] == "static"


def test_every_pose_is_of_its_shape():
    size = 64
    rows, columns = np.mgrid[:size, :size] - size / 2 + 0.5
    square = (abs(rows) < 10) & (abs(columns) < 10)
    assert outlines.main_object_shape(np.stack([rows**2 + columns**2 < 120])) == "ball"
    assert outlines.main_object_shape(square[None]) in ("cube", "cylinder")
    assert outlines.main_object_shape(np.zeros((3, size, size), bool)) is None
    assert outlines.main_object_shape((rows**2 + columns**2 < 1100)[None]) is None  # at the border


def test_an_object_that_stays_on_a_panning_camera_goes_with_it():
    rows, columns = np.mgrid[:64, :64]
    still = np.broadcast_to((abs(rows - 40) < 8) & (abs(columns - 32) < 8), (17, 64, 64))
    assert movement.direction(still, (0.0, 0.0)) is None
    assert movement.direction(still, (0.25, 0.0)) == "left"
    assert movement.direction(still, (-0.25, 0.0)) == "right"


def test_cuts_are_found_where_they_are(records):
    cuts = [record for record in records if len(json.loads(record["shots"])) == 2]
    assert cuts
    for record in cuts:
        color = json.loads(record["scene"])["objects"][0]["color"]
        seen = verdicts.seen_in_shots(record["frames"], [9, 8])
        assert seen == {"colors": [color, color], "cut_in_place": True}
        assert not verdicts.seen_in_shots(record["frames"], [5, 12])["cut_in_place"]


def test_clips_of_one_shot_have_no_cut(single_shots):
    assert not any(
        verdicts.seen_in_shots(clip, [9, 8])["cut_in_place"] for clip, *_ in single_shots
    )


def test_summary_of_shots():
    asked = [{"color": "red"}] * 4
    colors = [["red", "red"], ["blue", "blue"], ["red", "blue"], [None, None]]
    seen = [{"colors": pair, "cut_in_place": pair[0] == "red"} for pair in colors]
    assert verdicts.summarize_shots(asked, seen) == {
        "cut_in_place": 0.5,
        "has_object": 0.75,
        "same_color": 0.5,
        "color_accuracy": 0.25,
    }


def test_what_no_judge_tells_does_not_count():
    seen = {"direction": "left"}
    assert verdicts.accuracy([({"direction": ""}, seen)], "direction") is None
    assert verdicts.accuracy([({"direction": ""}, seen), (seen, seen)], "direction") == 1.0
