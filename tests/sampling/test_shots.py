import json

import numpy as np
import pytest

from seedance_jax.data.schema import GLOBAL
from seedance_jax.sampling.shots import latent_shots, parse_prompt, shot_lengths, with_captions

CAPTIONS = {GLOBAL: "A room.", 0: "A ball rolls.", 1: "It stops."}
SHOTS = [{"prompt": "A ball rolls.", "duration": 2}, {"prompt": "It stops.", "duration": 1}]


def test_a_plain_prompt_is_one_shot():
    assert parse_prompt(" a red ball ") == ({0: "a red ball"}, None)
    assert parse_prompt("[cinematic] a shot: a ball").captions == {0: "[cinematic] a shot: a ball"}


@pytest.mark.parametrize(
    "prompt",
    [
        "A room. Shot 1 (2s): A ball rolls. Shot 2 (1 s): It stops.",
        "A room.\nSHOT 1 (2.0 sec): A ball rolls.\nshot 2 (1 seconds) : It stops.",
        {"global": "A room.", "shots": SHOTS},
        json.dumps({"shots": SHOTS, "global": "A room."}),
    ],
)
def test_all_forms_agree(prompt):
    assert parse_prompt(prompt) == (CAPTIONS, (2.0, 1.0))


def test_the_global_caption_and_the_durations_may_be_left_out():
    script = parse_prompt("Shot 1: a. Shot 2: b.")
    assert script == ({0: "a.", 1: "b."}, None)
    assert parse_prompt('[{"prompt": "a."}, {"prompt": "b."}]') == script
    assert script.num_shots == parse_prompt("c. Shot 1: a. Shot 2: b.").num_shots == 2


def test_one_shot_has_one_caption():
    assert parse_prompt("A room. Shot 1 (1s): a ball.") == ({0: "A room. a ball."}, (1.0,))


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("  ", "prompt is empty"),
        (3, "must be text"),
        ("Shot 1: a Shot 3: b", r"numbered \[1, 3\]"),
        ("Shot 2: a", r"numbered \[2\]"),
        ("[Shot 1] a [Shot 2] b", 'are written "Shot 1: '),
        ("Shot 1: a Shot 2 - b", 'are written "Shot 1: '),
        ('["a", "b"]', "shot 'a' must be"),
        ("[]", "no shots"),
        ('{"global": 3, "shots": [{"prompt": "a"}]}', "global: caption 3 must be text"),
        ("Shot 1: a Shot 2:", "shot 2: caption '' must be text"),
        ("Shot 1 (2s): a Shot 2: b", "1 of 2 shots have a duration"),
        ("Shot 1 (two s): a", "'two s' .*positive number"),
        ("Shot 1 (0s): a", "'0s' .*positive number"),
        ('[{"prompt": "a"', "looks like JSON, but is not"),
        ('{"a":' * 100_000, "looks like JSON, but is not JSON: too many brackets"),
        ('[{"prompt": "a", "prompt": "b"}]', "a name stands twice"),
        ('[{"text": "a"}]', "shot .*'text'.* must be"),
        ('{"shots": [], "global": "a"}', "no shots"),
        ('{"prompt": "a"}', "must be text, or"),
        ('[{"prompt": 3}]', "caption 3 must be text"),
        ('[{"prompt": "a", "duration": true}]', "True .*positive number"),
    ],
)
def test_broken_prompts_say_what_is_wrong(prompt, said):
    with pytest.raises(ValueError, match=said):
        parse_prompt(prompt)


@pytest.mark.parametrize(
    ("durations", "num_frames", "lengths"),
    [
        ("", 9, (5, 4)),
        ("", 17, (9, 8)),
        ("", 13, (9, 4)),  # what does not divide goes to the first
        (" (1s)", 25, (13, 12)),
        (" (1s)", None, (13, 12)),
        (" (0.33s)", None, (5, 4)),  # a third of a second at 12 frames a second
    ],
)
def test_shots_meet_at_the_borders_of_latent_frames(durations, num_frames, lengths):
    script = parse_prompt(f"Shot 1{durations}: a Shot 2{durations}: b")
    assert shot_lengths(script, num_frames, 12) == lengths
    shots = latent_shots(lengths)
    assert shots.shape == ((sum(lengths) - 1) // 4 + 1,)
    assert shots.dtype == np.int32
    np.testing.assert_array_equal(
        shots, np.repeat([0, 1], [(lengths[0] + 3) // 4, lengths[1] // 4])
    )


@pytest.mark.parametrize(
    ("prompt", "num_frames", "said"),
    [
        ("Shot 1 (1s): a Shot 2 (2s): b", 25, r"1 \+ 2 s are 12 \+ 24 \+ 1 = 37 .*add up to 2 s"),
        ("Shot 1 (0.5s): a", None, r"0.5 s is 6 frames at 12.*write 0.3333 or 0.6667 s"),
        ("Shot 1 (1.5s): a", None, r"1.5 s is 18 frames .*write 1.333 or 1.667 s"),
        ("Shot 1: a Shot 2: b", 5, "num_frames=5 for 2 shots: 9 or more"),
        ("Shot 1: a Shot 2: b", 1, "num_frames=1 for 2 shots: 9 or more"),
    ],
)
def test_durations_that_do_not_fit_say_which_do(prompt, num_frames, said):
    with pytest.raises(ValueError, match=said):
        shot_lengths(parse_prompt(prompt), num_frames, 12)


@pytest.mark.parametrize(
    "prompt",
    [
        "All. Shot 1 (2s): a ball Shot 2 (1s): a cube",
        '{"global": "All.", "shots": [{"prompt": "a ball", "duration": 2}, '
        '{"prompt": "a cube", "duration": 1}]}',
        '[{"prompt": "a ball", "duration": 2}, {"prompt": "a cube", "duration": 1}]',
    ],
)
@pytest.mark.parametrize("common", ["", "A dim room."])
def test_other_captions_leave_shots_and_durations_as_they_are(prompt, common):
    script = parse_prompt(with_captions(prompt, common, ["a red ball", "a blue cube"]))
    shown = {GLOBAL: common} if common else {}
    assert script.captions == shown | {0: "a red ball", 1: "a blue cube"}
    assert script.durations == (2.0, 1.0)


def test_a_prompt_without_marks_is_its_caption():
    assert with_captions("a ball", "", ["a red ball"]) == "a red ball"


def test_an_image_is_one_shot():
    assert shot_lengths(parse_prompt("a ball"), 1, 12) == (1,)


@pytest.mark.parametrize("written", ["2", "2s", "2 s", "2 sec.", "2.0 seconds"])
def test_durations_may_be_written_in_several_ways(written):
    script = parse_prompt(f"Shot 1 ({written}): a Shot 2 (1s): b")
    assert script.durations == (2.0, 1.0)
    assert list(script.captions.values()) == ["a", "b"]
