import itertools

import pytest

from seedance_jax.data.world import vocabulary as words
from seedance_jax.data.world.language import prompts, reading

EXAMPLES = {
    "red ball rolling left": "A red ball rolls to the left on a grey floor. The camera is static.",
    "blue box sliding right on sand, zoom in": (
        "A blue cube slides to the right on a sandy floor. The camera zooms in."
    ),
    "a green cylinder drops": "A green cylinder falls onto a grey floor. The camera is static.",
    "the ball is red and bounces": (
        "A red ball falls onto a grey floor and bounces. The camera is static."
    ),
}
FULL = {
    "small striped green sphere hits a yellow cube, camera pans left": (
        "A small striped green ball rolls to the left and hits a large yellow cube on a grey "
        "floor, in daylight. The camera pans left."
    ),
    "orange ball knocks over a white column at dusk, orbit right": (
        "A large orange ball rolls to the left and knocks over a large white pillar on a grey "
        "floor, at sunset. The camera orbits right."
    ),
    "red ball and a blue cube on grass": (
        "A large red ball rolls to the left on a grassy floor, in daylight. A large blue cube "
        "stands in the background. The camera is static."
    ),
    "checkered ball spinning counterclockwise on a checkered floor": (
        "A large checkered red ball spins counterclockwise on a checkered floor, in daylight. "
        "The camera is static."
    ),
}


@pytest.mark.parametrize(("prompt", "caption"), EXAMPLES.items())
def test_short_prompts_become_captions(prompt, caption):
    assert prompts.rewrite(prompt, "tiny") == (caption, ())


@pytest.mark.parametrize(("prompt", "caption"), FULL.items())
def test_the_full_world_has_more_words(prompt, caption):
    assert prompts.rewrite(prompt, "full") == (caption, ())


@pytest.mark.parametrize("slice_name", sorted(set(words.SLICES) - {"long"}))
def test_captions_stay_as_they_are(slice_name):
    allowed = words.SLICES[slice_name]
    wishes = itertools.product(allowed.events, allowed.moves, allowed.floors)
    for event, move, floor in wishes:
        verb = reading.VERBS[event].split()[0]
        caption, left_out = prompts.rewrite(
            f"cube and ball {verb} {floor} floor, {move}", slice_name
        )
        assert words.CAMERA_MOVES[move].sentence in caption
        assert f"{floor} floor" in caption
        assert prompts.rewrite(caption, slice_name) == (caption, ())
        assert not left_out or not allowed.companions or event in ("drop", "break")


@pytest.mark.parametrize(
    "caption",
    [
        "The red ball comes to rest. The camera is static.",
        "The blue cube slides to a stop. The camera pans left.",
    ],
)
def test_captions_of_second_shots_stay_too(caption):
    assert prompts.rewrite(caption, "tiny") == (caption, ())


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        (
            "a green ball with the camera panning from left to right",
            "A green ball rolls to the left on a grey floor. The camera pans right.",
        ),
        (
            "a red ball rolls from the left side to the right, the camera pans from right to left",
            "A red ball rolls to the right on a grey floor. The camera pans left.",
        ),
        (
            "a red ball rolls in from the right",
            "A red ball rolls to the left on a grey floor. The camera is static.",
        ),
    ],
)
def test_a_way_is_named_by_its_end(prompt, caption):
    assert prompts.rewrite(prompt, "tiny") == (caption, ())


@pytest.mark.parametrize("often", ["", " twice", " three times"])
def test_captions_count_bounces(often):
    caption = f"A red ball falls onto a grey floor and bounces{often}. The camera is static."
    assert prompts.rewrite(f"a red ball bounces{often}", "tiny") == (caption, ())
    assert prompts.rewrite(caption, "tiny") == (caption, ())


def test_every_word_of_a_prompt_is_said_or_named():
    caption, left_out = prompts.rewrite("a purple dragon slowly flies over a castle left", "tiny")
    assert caption == "A purple ball is thrown to the left onto a grey floor. The camera is static."
    assert left_out == ("dragon", "slowly", "castle")
    hint = prompts.hint(left_out, "tiny")
    assert "dragon, slowly, castle" in hint
    assert "shapes: ball, cube, cylinder" in hint
    assert prompts.hint((), "tiny") == ""


@pytest.mark.parametrize(
    ("prompt", "left_out"),
    [
        ("a pink pillar at night", ("pink", "pillar", "night")),
        ("red ball hits a blue cube", ("hits", "blue", "cube")),
        ("red ball, orbit right", ("orbit right",)),
        ("red ball rolls left and right", ("right",)),
        ("red ball rolls and slides", ("slides",)),
        ("a ball falls left", ("left",)),
        ("three red balls roll left", ("three", "balls")),
        ("two boxes slide", ("two", "boxes")),
        ("a ball rolls five times", ("five", "times")),
        ("a ball stands still", ("stands still",)),
        ("the camera pans as a ball rolls right", ("pans", "as")),
        ("Roter Ball \u732b", ("roter", "\u732b")),
    ],
)
def test_what_a_small_world_has_no_room_for_is_named(prompt, left_out):
    assert prompts.rewrite(prompt, "tiny").left_out == left_out


@pytest.mark.parametrize(
    ("prompt", "left_out"),
    [
        ("red and blue cubes", ("blue", "cubes")),
        ("red, blue ball", ("blue",)),
        ("red blue red ball and a green cube", ("blue",)),
        ("big striped and checkered little ball", ("checkered", "little")),
    ],
)
def test_of_two_adjectives_of_a_kind_the_second_is_named(prompt, left_out):
    caption, named = prompts.rewrite(prompt, "full")
    assert named == left_out
    assert not any(word in caption for word in left_out)
