"""Text over the pictures of a sheet."""

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from seedance_jax.sampling import labels, media

CHINESE = "红球在灰色地板上向左滚动。镜头静止不动。"
GREY = np.full((3, 64, 64, 3), 128, np.uint8)


@pytest.fixture
def pillow_alone(monkeypatch):
    own = (labels.Font(ImageFont.load_default(), 13),)
    monkeypatch.setattr(labels, "fonts", lambda: own)


def pixels(image):
    return np.asarray(image.convert("L"))


def test_a_short_label_is_one_line_of_sixteen_pixels():
    strip = labels.draw_label("A red ball rolls", 300)
    expected = Image.new("RGB", (300, 16), "white")
    ImageDraw.Draw(expected).text((3, 2), "A red ball rolls", fill="black")
    np.testing.assert_array_equal(pixels(strip), pixels(expected))


@pytest.mark.parametrize(
    "text",
    [
        "word " * 300,
        "line\n" * 40,
        "x" * 2000,
        CHINESE * 30,
        "\tcaf\u00e9 \u202e\u0301\x00 \U0001f3ac " * 60,
        "",
    ],
    ids=["words", "lines", "one word", "chinese", "odd", "nothing"],
)
@pytest.mark.parametrize("count", [1, 3])
def test_labels_stay_out_of_the_pictures_and_inside_their_strip(text, count):
    """Two rows: the second one begins where the first one ends, and its label is whole."""
    frames = GREY[:count]
    sheet = pixels(media.contact_sheet([(text, frames), ("b", frames)]))
    columns = sheet[:, :128]
    rows = np.flatnonzero((columns == 128).all(1))
    assert len(rows) == 2 * 128
    assert (np.diff(rows)[:127] == 1).all()
    first = rows[0]
    assert sheet[first - 1 : first].min() > 0, "the last line has room below it"
    strip = labels.draw_label(text, sheet.shape[1])
    assert strip.height == first
    assert pixels(strip)[:, -labels.MARGIN + 1 :].min() == 255, "no line goes beyond its end"


@pytest.mark.usefixtures("pillow_alone")
def test_a_label_that_is_too_long_says_so():
    font = labels.fonts()[0].font
    lines = labels.wrap("word " * 500, font, 300)
    assert len(lines) == labels.LINES
    assert lines[-1].endswith("...")
    assert all(font.getlength(line) <= 300 for line in lines)
    assert labels.wrap("one two", font, 300) == ["one two"]
    assert "".join(labels.wrap("x" * 90, font, 100)) == "x" * 90


@pytest.mark.usefixtures("pillow_alone")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CHINESE,
            "[20 characters left out: no font here has them; that of the extra [fonts] may] ",
        ),
        (
            "a caf\u00e9",
            "[1 characters left out: no font here has them; that of the extra [fonts] may] a caf",
        ),
        ("a ball", "a ball"),
        ("a\u200b ball\x07\n", "a ball"),
    ],
)
def test_characters_that_no_font_has_are_left_out_and_counted(text, said):
    assert labels.choose(text)[1] == said


def test_pillows_font_without_freetype_is_no_error(monkeypatch):
    plain = (labels.Font(ImageFont.load_default_imagefont(), 13),)
    monkeypatch.setattr(labels, "fonts", lambda: plain)
    assert labels.choose(f"ball {CHINESE}")[1].endswith(" ball")
    assert pixels(labels.draw_label(f"ball {CHINESE}", 400)).min() == 0


@pytest.mark.skipif(
    importlib.util.find_spec(labels.PACKAGE) is None, reason="the extra [fonts] is not installed"
)
def test_chinese_is_drawn_with_the_font_of_the_extra():
    (font, _), text = labels.choose(CHINESE)
    assert text == CHINESE
    assert font.getname() == ("Noto Sans CJK SC", "Regular")
    box = bytes(font.getmask(labels.ABSENT))
    assert box not in [bytes(font.getmask(character)) for character in CHINESE]
    strip = pixels(labels.draw_label(CHINESE, 600))
    assert (strip < 128).sum() > 300
    assert labels.choose("A red ball")[0].font is not font, "what Pillow has stays as it was"
