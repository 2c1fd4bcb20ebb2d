"""Text above the pictures of a sheet: in lines that fit, in a font that has its characters."""

import functools
import importlib.util
import re
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

LINES = 8  # of a label, at most; the sidecar has all of it
MARGIN = 3
# Of the extra [fonts]: a package with Noto Sans CJK, which has Latin, Cyrillic and Greek, too.
PACKAGE, FILE, CHINESE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc", 2
UNSEEN = ("Cc", "Cf")  # categories of characters without a picture
ABSENT = "\U0010ffff"  # no font has it, so it shows how a font draws what it does not have
# What a line may end after: a word, or a character of a script without spaces.
PIECE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\uffef]+|.")


class Font(NamedTuple):
    """A font of Pillow, and the pixels from one line to the next."""

    font: Any
    line: int


@functools.cache
def fonts() -> tuple[Font, ...]:
    """The fonts there are, in the order in which they are tried: Pillow's own, and [fonts]."""
    found = [Font(ImageFont.load_default(), 13)]
    package = importlib.util.find_spec(PACKAGE)
    if package and package.origin:
        path = Path(package.origin).with_name(FILE)
        found.append(Font(ImageFont.truetype(str(path), 12, index=CHINESE), 18))
    return tuple(found)


@functools.cache
def has(font: Any, character: str) -> bool:
    """Whether a font has a character, and does not draw a box, or fail, in its place."""
    return character.isspace() or _drawn(font, character) not in (None, _drawn(font, ABSENT))


def _drawn(font, character):
    try:
        mask = font.getmask(character)
    except UnicodeEncodeError:  # of Pillow's font without FreeType, which has Latin-1 alone
        return None
    return mask.size, bytes(mask)


def choose(text: str) -> tuple[Font, str]:
    """(font, text in one paragraph), without the characters that no font has, whose number it says.

    The first font that has all of them is taken, or the one that has most.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    text = "".join(c for c in text if unicodedata.category(c) not in UNSEEN)
    missing = {font: [c for c in text if not has(font.font, c)] for font in fonts()}
    font = min(fonts(), key=lambda one: len(missing[one]))
    if not missing[font]:
        return font, text
    kept = " ".join("".join(c for c in text if c not in missing[font]).split())
    hint = "" if len(fonts()) > 1 else "; that of the extra [fonts] may"
    return font, f"[{len(missing[font])} characters left out: no font here has them{hint}] {kept}"


def wrap(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most `width` pixels, and at most LINES of them; the last one says if text is cut.

    A word that is wider stands in several lines.
    """
    lines, line = [], ""
    for piece in PIECE.findall(text):
        if font.getlength((line + piece).rstrip()) <= width:
            line += piece
            continue
        lines.append(line.rstrip())
        line = ""
        for character in piece.strip():
            if line and font.getlength(line + character) > width:
                lines.append(line)
                line = ""
            line += character
    lines = [one for one in (*lines, line.rstrip()) if one]
    if len(lines) <= LINES:
        return lines
    last = lines[LINES - 1]
    while last and font.getlength(f"{last}...") > width:
        last = last[:-1]
    return [*lines[: LINES - 1], f"{last}..."]


def draw_label(text: str, width: int) -> Image.Image:
    """A white strip of a width with a text on it, as high as its lines need."""
    (font, line), text = choose(text)
    lines = wrap(text, font, width - 2 * MARGIN)
    strip = Image.new("RGB", (width, MARGIN + line * max(len(lines), 1)), "white")
    draw = ImageDraw.Draw(strip)
    for number, content in enumerate(lines):
        draw.text((MARGIN, MARGIN - 1 + line * number), content, fill="black", font=font)
    return strip
