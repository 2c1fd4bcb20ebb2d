import json

import numpy as np
import pytest

from seedance_jax.evaluation.judges import drawing, verdict


def single(judged):
    return [part for part in judged if len(part[1]["shots"]) == 1]


def test_true_clips_pass(judged):
    assert np.mean([v.passed for *_, v in judged]) >= 0.9


@pytest.mark.parametrize("name", verdict.GATES)
def test_true_clips_pass_each_gate(judged, name):
    gates = [v.gates[name] for *_, v in judged if v.gates[name] is not None]
    assert not gates or np.mean(gates) >= 0.9


def test_gravity_is_that_of_the_scene(judged):
    ratios = [v.findings["gravity"].value for *_, v in judged if v.gates["gravity"] is not None]
    assert len(ratios) >= 5
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)


def test_the_caption_of_another_clip_fails(judged):
    parts = single(judged)
    passed = 0
    for (record, *_), (_, other, _) in zip(parts, parts[1:] + parts[:1], strict=True):
        passed += verdict.judge_clip(record["frames"], 12, other).passed
    assert passed <= 0.1 * len(parts)


def test_mirrored_clips_go_the_other_way(judged):
    record, asked, right = next(p for p in single(judged) if p[1]["direction"] == "left")
    frames = np.ascontiguousarray(record["frames"][:, :, ::-1])
    mirrored = verdict.judge_clip(frames, 12, asked)
    assert right.gates["alignment_direction"]
    assert mirrored.findings["alignment_direction"].value == "right"
    assert not mirrored.gates["alignment_direction"]


def test_what_was_not_asked_for_has_no_gate(judged):
    for _, asked, v in judged:
        assert v.gates["permanence"] is None
        assert (v.gates["gravity"] is None) == (asked["event"] in ("roll", "slide"))
        assert (v.gates["alignment_direction"] is None) == (asked["direction"] == "")


def test_ground_truth_agrees_with_the_captions(judged):
    words = {"left": "to the left", "right": "to the right", "down": "falls onto"}
    for record, asked, _ in single(judged):
        assert words[asked["direction"]] in record["caption"]


def test_clips_in_which_nothing_can_be_measured_fail(judged):
    _, asked, _ = single(judged)[0]
    noise = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3), np.uint8)
    for frames in (noise, np.full_like(noise, 128)):
        v = verdict.judge_clip(frames, 12, asked)
        assert not v.passed
        assert not v.findings["alignment_shape"].valid
        assert v.gates["alignment_event"] is False


def test_verdicts_are_ready_for_json_and_can_be_drawn(judged):
    for record, _, v in judged[:4]:
        back = json.loads(json.dumps(v.as_json()))
        assert set(back["gates"]) == set(verdict.GATES) == set(verdict.HEADINGS)
        assert back["passed"] == v.passed
        drawn = drawing.draw(record["frames"], v)
        assert drawn.dtype == np.uint8
        assert drawn.shape[0] == 17


def test_bad_input_is_refused(judged):
    record, asked, _ = judged[0]
    frames = record["frames"]
    with pytest.raises(ValueError, match="float32"):
        verdict.judge_clip(frames.astype(np.float32), 12, asked)
    with pytest.raises(ValueError, match="17, 16, 64"):
        verdict.judge_clip(frames[:, :16], 12, asked)
    shots = [asked["shots"][0] | {"num_frames": count} for count in (14, 3)]
    with pytest.raises(ValueError, match=r"\[14, 3\].*too short"):
        verdict.judge_clip(frames, 12, asked | {"shots": shots})
    with pytest.raises(ValueError, match="fps=0"):
        verdict.judge_clip(frames, 0, asked)
    with pytest.raises(ValueError, match="the clip has 13"):
        verdict.judge_clip(frames[:13], 12, asked)
    with pytest.raises(ValueError, match="lacks.*gravity"):
        verdict.judge_clip(frames, 12, {k: v for k, v in asked.items() if k != "gravity"})
