"""Wrong captions: one attribute of the record is another; no pair that is never shown is said."""

import functools

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("numba")
from seedance_jax.data.world import WorldSpec, corruptions, vocabulary
from seedance_jax.data.world.checks import direction, rebounds
from seedance_jax.data.world.language import edits
from seedance_jax.data.world.language.captions import captions
from seedance_jax.data.world.language.prompts import is_caption

RNG = np.random.default_rng
PLAIN, TINY = WorldSpec(17, 32, 32, 12, "plain"), WorldSpec(17, 32, 32, 12, "tiny")


@functools.cache
def shots(spec, split="train"):
    """(number, shot) of clips of one shot."""
    found = [(index, corruptions.stage(split, index, spec)) for index in range(40)]
    return [(index, own[0]) for index, own in found if len(own) == 1]


def attributes(shot):
    """What captions tell of a shot, by the attribute that an edit changes."""
    scene, turning = shot.scene, shot.motion.velocity[: shot.last + 1, 0, 5].mean()
    return {
        "color": [body.color for body in scene.bodies],
        "shape": [body.shape for body in scene.bodies],
        "count": (len(scene.bodies), len(scene.fragments), rebounds(shot, 0)),
        "direction": (direction(shot, 0), bool(turning > 0)),
        "event": scene.event,
        "camera": (shot.plan.move, shot.plan.steps),
    }


def all_edits(spec, split="train"):
    for _, shot in shots(spec, split):
        for attribute, one, other in edits.edited_shots(shot, spec, split, RNG(0)):
            yield one, attribute, other


@pytest.mark.parametrize("spec", [PLAIN, TINY], ids=["plain", "tiny"])
def test_one_attribute_differs_and_it_is_the_named_one(spec):
    seen = set()
    for shot, attribute, other in all_edits(spec):
        true, wrong = attributes(shot), attributes(other)
        assert [name for name in true if true[name] != wrong[name]] == [attribute]
        seen.add(attribute)
    assert seen == set(vocabulary.EDITED)


def test_captions_are_told_of_another_record():
    for _, shot in shots(PLAIN):
        true = captions([shot], PLAIN)[0]
        found = edits.edited(shot, PLAIN, "train", np.random.default_rng(0))
        texts = [edit.caption for edit in found]
        assert true not in texts
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert is_caption(text, PLAIN.allowed) >= is_caption(true, PLAIN.allowed), text


@pytest.mark.parametrize("split", ["train", "held_out_combinations"])
def test_pairs_of_color_and_shape_are_those_of_the_split(split):
    for _, _, other in all_edits(TINY, split):
        for body in other.scene.bodies:
            held_out = body.shape in vocabulary.HELD_OUT[body.color]
            assert held_out == (split == "held_out_combinations")


def test_no_two_objects_look_the_same_and_swapping_colors_is_among_the_edits():
    swaps = 0
    for shot, attribute, other in all_edits(PLAIN):
        looks = [(body.color, body.shape) for body in other.scene.bodies]
        assert len(set(looks)) == len(looks)
        changed = [
            a.color != b.color for a, b in zip(shot.scene.bodies, other.scene.bodies, strict=True)
        ]
        swaps += attribute == "color" and sum(changed) == 2
    assert swaps


def test_moves_that_look_like_the_true_one_are_not_told():
    for shot, attribute, other in all_edits(PLAIN):
        if attribute == "camera" and "zoom" in shot.plan.move:
            assert "dolly" not in other.plan.move


@pytest.mark.parametrize(
    ("true", "wrong", "hard"),
    [
        ("A red ball rolls.", "A blue ball rolls.", True),
        ("A red ball rolls.", "An orange ball rolls.", True),  # articles follow
        ("A red ball hits a blue cube.", "A blue cube hits a red ball.", True),
        ("A red ball rolls to the left.", "A red ball falls.", False),
        ("The camera pans left.", "The camera zooms in.", False),
        ("It moves by 9 degrees.", "It moves by 9.5 degrees.", True),
    ],
)
def test_hard_is_one_word_or_words_that_are_there(true, wrong, hard):
    assert edits.is_hard(true, wrong) == hard


def test_half_of_the_chosen_are_hard_and_attributes_take_turns():
    for index, shot in shots(PLAIN):
        rng = np.random.default_rng(index)
        found = edits.edited(shot, PLAIN, "train", rng)
        chosen = edits.choose(found, 4, rng)
        assert sum(edit.hard for edit in chosen) * 2 == len(chosen) <= 4
        assert len(set(chosen)) == len(chosen)
        hard = {edit.attribute for edit in found if edit.hard}
        picked = [edit.attribute for edit in chosen if edit.hard]
        assert len(set(picked)) == min(len(hard), len(picked))
        assert edits.choose(found, 0, rng) == []
