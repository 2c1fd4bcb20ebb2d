"""Light and edges of pictures that are made so."""

import numpy as np
import pytest
from clips import moving_square

from seedance_jax.data import schema
from seedance_jax.data.curation import aesthetic
from seedance_jax.data.world import pixels


def look(frames):
    return aesthetic.score(frames)


def board(low=60, high=190):
    """A chess board of 8 pixels a field that stands for three frames."""
    y, x = np.mgrid[:64, :64] // 8
    picture = np.where((y + x) % 2, high, low).astype(np.uint8)
    return np.repeat(picture[None, ..., None], 3, 0).repeat(3, -1)


def test_the_values_are_those_of_the_picture():
    found = look(board())
    assert found.keys() == set(schema.SCORES["aesthetic"])
    np.testing.assert_allclose(found["exposure"], 125 / 255, atol=1e-3)
    np.testing.assert_allclose(found["contrast"], 65 / 255, atol=1e-3)
    np.testing.assert_allclose(found["highlights"], 190 / 255, atol=1e-3)
    assert found["clipped"] == 0
    assert look(board(60, 255))["clipped"] == 0.5


@pytest.mark.parametrize(
    ("spoil", "column", "sign"),
    [
        (pixels.blur, "sharpness", -1),
        (pixels.overexpose, "clipped", 1),
        (pixels.underexpose, "highlights", -1),
    ],
)
def test_each_flaw_shows_in_its_column_and_in_the_whole(spoil, column, sign):
    frames = moving_square(4, 9, 64, 64)
    values = [look(spoil(frames, severity)) for severity in (0.0, 0.4, 1.0)]
    rising = np.diff([sign * value[column] for value in values])
    assert (rising > 0).all()
    assert values[2]["aesthetic"] < values[0]["aesthetic"]


def test_sharpness_does_not_depend_on_the_contrast():
    np.testing.assert_allclose(
        look(board(110, 140))["sharpness"], look(board())["sharpness"], rtol=0.2
    )


def test_a_flat_picture_is_neither_sharp_nor_good():
    found = look(np.full((3, 32, 32, 3), 128, np.uint8))
    assert found["sharpness"] == found["contrast"] == found["aesthetic"] == 0
