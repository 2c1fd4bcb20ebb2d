"""Prompts of several shots become captions of the kind that clips of two shots have."""

import pytest

from seedance_jax.data.world import WorldSpec
from seedance_jax.data.world.generation import shoot
from seedance_jax.data.world.language import story
from seedance_jax.data.world.language.captions import captions


def tell(common, *texts, slice_name="tiny"):
    return story.rewrite_shots(common, texts, slice_name)


def test_a_shot_goes_on_with_the_object_of_the_shot_before():
    told = tell("", "a blue cube slides left", "it stops")
    assert told.common == "Two shots of a blue cube sliding on a grey floor."
    assert told.captions == [
        "A blue cube slides to the left on a grey floor. The camera is static.",
        "The blue cube slides to a stop. The camera is static.",
    ]
    assert told.left_out == ()
    assert told.assumed == ("shot 2: the blue cube",)


@pytest.mark.parametrize(
    ("texts", "last"),
    [
        (("red ball rolls right", "zoom in"), "The red ball rolls to the right."),
        (("red ball rolls right", "the ball rolls left"), "The red ball rolls to the left."),
        (("red ball falls", "it bounces twice"), "The red ball bounces twice."),
        (("red ball falls", "zoom in"), "The red ball bounces."),
        (
            ("a blue cube is thrown", "it flies right"),
            "The blue cube flies to the right and lands.",
        ),
        (("a blue cube is thrown", "it lands"), "The blue cube lands."),
        (("red ball rolls", "it drops on sand"), "The red ball falls onto a sandy floor."),
        (("a ball rolls", "the green ball stands still"), "The green ball lies still."),
    ],
)
def test_how_shots_go_on(texts, last):
    told = tell("", *texts)
    assert told.captions[-1].startswith(last)
    assert told.left_out == ()


def test_the_text_before_the_shots_holds_for_all_of_them():
    told = tell("In a studio on sand, a red ball. Pan left.", "it rolls right", "it bounces")
    assert told.common == "Two shots of a red ball rolling on a sandy floor."
    assert told.captions == [
        "A red ball rolls to the right on a sandy floor. The camera pans left.",
        "The red ball bounces. The camera pans left.",
    ]
    assert told.left_out == ("studio",)


def test_what_is_always_so_need_not_be_said():
    assert tell("in daylight", "a large red ball rolls", "it stops").left_out == ()


def test_what_no_caption_says_is_named():
    told = tell("at night", "a red ball hits a blue cube", "it spins towards a dragon, orbit left")
    assert told.captions[1] == "The red ball rolls towards the camera. The camera is static."
    left_out = ("night", "hits", "blue", "cube", "spins", "dragon", "orbit left")
    assert told.left_out == left_out
    told = tell("", "a red ball rolls on sand", "it stops on a grey floor to the right")
    assert told.left_out == ("grey", "right")


def test_a_second_colour_is_named():
    texts = ("blue and red cube slides", "it stops")
    assert tell("", *texts).left_out == ("red",)
    assert tell("", "blue and red checkered cube", "it stops", slice_name="full").left_out == (
        "red",
    )


def test_another_object_is_told_of_like_the_first():
    told = tell("", "a red ball on sand", "a blue cube", "it stops")
    assert told.common == ""
    assert told.captions[1].startswith("A blue cube slides to the left on a sandy floor.")
    assert told.captions[2].startswith("The blue cube slides to a stop.")
    assert told.assumed[0] == "shot 2: another object, as in no clip of the training"


@pytest.mark.parametrize("slice_name", ["tiny", "full"])
def test_captions_of_the_world_stay_as_they_are(slice_name):
    spec = WorldSpec(slice=slice_name)
    clips = [shoot("train", index, spec)[0] for index in range(60)]
    cut = [captions(shots, spec) for shots in clips if len(shots) == 2]
    assert len(cut) > 3
    for common, _, texts in cut:
        assert story.rewrite_shots(common, texts, slice_name) == (common, texts, (), ())
        told = story.rewrite_shots("", texts, slice_name)
        assert told == (common, texts, (), ()) or "thrown" in common  # which may not name the floor
