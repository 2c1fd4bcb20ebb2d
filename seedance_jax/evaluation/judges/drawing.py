"""A clip with what the judges saw drawn on it."""

import numpy as np
from PIL import Image, ImageDraw

from seedance_jax.data.world.vocabulary import COLORS
from seedance_jax.evaluation.judges import reduction
from seedance_jax.evaluation.judges.verdict import Verdict

SCALE = 3
WIDTH = 210  # pixels of the column of gates
LINE = 9
OPEN, SHUT, UNASKED = (60, 200, 90), (255, 70, 60), (110, 110, 110)
FIT = (255, 0, 255)


def draw(frames: np.ndarray, verdict: Verdict) -> np.ndarray:
    """Frames uint8 [T,H,W,3] enlarged, the tracks and the parabola of a fall on them, and beside
    them every gate with its value: green if its gate is open, red if it is shut."""
    parts = enumerate(np.repeat(np.repeat(reduction.reduced(frames), SCALE, 1), SCALE, 2))
    return np.stack([_frame(number, image, verdict) for number, image in parts])


def _frame(number, image, verdict):
    height = max(image.shape[0], LINE * (len(verdict.findings) + 1))
    canvas = Image.new("RGB", (image.shape[1] + WIDTH, height))
    canvas.paste(Image.fromarray(image))
    pen = ImageDraw.Draw(canvas)
    tracks = verdict.findings["alignment_color"].evidence["tracks"]
    for color, points in tracks.items():
        _track(pen, [point for point in points if point[0] <= number], number, color)
    gravity = verdict.findings["gravity"]
    if gravity.valid and verdict.gates["gravity"] is not None:
        _fit(pen, gravity.evidence["drawn"])
    for row, name in enumerate(verdict.findings):
        _line(pen, image.shape[1] + 4, LINE * row, name, verdict)
    return np.asarray(canvas)


def _track(pen, points, number, color):
    """The way so far, and a circle as large as the object."""
    ink = tuple(int(255 * part ** (1 / 2.2)) for part in COLORS[color.split()[0]])
    places = [(SCALE * x, SCALE * y) for _, x, y, _ in points]
    if len(places) > 1:
        pen.line(places, fill=(0, 0, 0), width=3)
        pen.line(places, fill=ink, width=1)
    if points and points[-1][0] == number:
        (x, y), radius = places[-1], SCALE * np.sqrt(points[-1][3] / np.pi)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=(0, 0, 0))
        pen.ellipse([x - 1, y - 1, x + 1, y + 1], fill=(0, 0, 0))


def _fit(pen, points):
    for x, y in points:
        x, y = SCALE * x, SCALE * y
        pen.line([x - 3, y, x + 3, y], fill=FIT)
        pen.line([x, y - 3, x, y + 3], fill=FIT)


def _line(pen, left, top, name, verdict):
    gate, finding = verdict.gates[name], verdict.findings[name]
    value = finding.value
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    ink = UNASKED if gate is None else OPEN if gate else SHUT
    pen.text((left, top), f"{name} {text if finding.valid else '?'}", fill=ink, font_size=8)
