"""The world's words and specs need neither simulator nor renderer, and agree with each other."""

import subprocess
import sys

import pytest

from seedance_jax.data.world import WorldSpec, generate
from seedance_jax.data.world import vocabulary as words

BLOCKED = """
import sys
sys.modules["mujoco"] = sys.modules["numba"] = None  # as if not installed
import seedance_jax.data.world.vocabulary
from seedance_jax.data.world import WorldSpec, generate
try:
    generate("train", 0, WorldSpec())
except ImportError as error:
    print(error)
"""


def test_missing_extra_is_named():
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True
    )
    assert 'pip install "seedance-jax[world]"' in run.stdout


def test_held_out_pairs_leave_every_color_and_shape_for_training():
    assert set(words.HELD_OUT) == set(words.COLORS)
    for name in words.SLICES:
        allowed = words.SLICES[name]
        seen = {
            (color, shape)
            for color in allowed.colors
            for shape in allowed.shapes
            if shape not in words.HELD_OUT[color]
        }
        held_out = {shape for color in allowed.colors for shape in words.HELD_OUT[color]}
        assert {color for color, _ in seen} == set(allowed.colors)
        assert {shape for _, shape in seen} == set(allowed.shapes) <= held_out


@pytest.mark.parametrize("name", sorted(words.SLICES))
def test_slices_use_known_words_and_probabilities(name):
    allowed = words.SLICES[name]
    known = {
        "events": (*words.EVENTS, "episodes"),
        "moves": words.CAMERA_MOVES,
        "shapes": words.SHAPES,
        "colors": words.COLORS,
        "textures": words.TEXTURES,
        "sizes": words.SIZES,
        "floors": words.FLOORS,
        "times_of_day": words.TIMES_OF_DAY,
    }
    for field, names in known.items():
        assert set(getattr(allowed, field)) <= set(names)
    for weights in (allowed.events, allowed.moves, allowed.times_of_day):
        assert sum(weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_frames": 16}, "num_frames=16"),
        ({"num_frames": 1, "slice": "long"}, "num_frames=1"),
        ({"num_frames": 1, "version": "1.3.0"}, "num_frames=1"),
        ({"slice": "long"}, "9.9 to 60.1 s"),
        ({"version": "3"}, "'3' is not one of"),
        ({"flawed": 1.5}, "flawed=1.5"),
        ({"height": 60}, "height=60"),
        ({"width": 0}, "width=0"),
        ({"fps": 0}, "fps=0"),
        ({"num_frames": 9, "fps": 24}, "num_frames=9 at fps=24"),
        ({"slice": "huge"}, "'huge' is not one of"),
    ],
)
def test_bad_specs_name_the_value(fields, message):
    with pytest.raises(ValueError, match=message):
        WorldSpec(**fields)


def test_bad_requests_name_the_value():
    pytest.importorskip("numba")
    pytest.importorskip("mujoco")
    with pytest.raises(ValueError, match="split='test'"):
        generate("test", 0, WorldSpec())
    with pytest.raises(ValueError, match="index=-1"):
        generate("train", -1, WorldSpec())
