"""Small moving pictures in a page, with what the judges saw drawn on them."""

import base64
import io

import numpy as np
from PIL import Image

from seedance_jax.evaluation.judges import drawing
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.judges.verdict import Verdict
from seedance_jax.evaluation.suite import results

QUALITY = 80  # of WebP
FRAMES = 48  # of a picture, at most


def of_row(folder, row, fps):
    """The clip of a row as a data URI, with the evidence on it."""
    found = row["verdict"]
    findings = {name: Finding(**finding) for name, finding in found["findings"].items()}
    frames = results.read_clip(folder, row)
    height, width = (drawing.SCALE * size for size in frames.shape[1:3])
    drawn = drawing.draw(frames, Verdict(findings, found["gates"]))
    return animate(drawn[:, :height, :width], fps)  # the rest is text, which a page has as text


def animate(frames, fps):
    """Frames uint8 [T,H,W,3] as a data URI of WebP that goes round; of long clips every n-th."""
    every = -(-len(frames) // FRAMES)
    first, *others = map(Image.fromarray, frames[::every])
    # The last frame stays a while, to show where the clip begins.
    length = round(1000 * every / fps)
    lengths = [*[length] * len(others), 3 * length]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=lengths,
        loop=0,
        quality=QUALITY,
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def choose(rows, count, seed):
    """{heading: rows}: `count` of the best, of the worst and of random ones, none of them twice.

    The best have the largest share of the gates that were asked for open.
    """
    rows = sorted(rows, key=lambda row: (-quality(row), row["number"]))
    count = min(count, max(len(rows) // 3, 1))
    best, rest = rows[:count], rows[count:]
    worst, rest = rest[::-1][:count], rest[: max(len(rest) - count, 0)]
    drawn = np.random.default_rng(seed).permutation(len(rest))[:count]
    return {"best": best, "worst": worst, "random": [rest[k] for k in sorted(drawn)]}


def quality(row):
    """Share of the gates asked for that are open."""
    asked = [gate for gate in row["verdict"]["gates"].values() if gate is not None]
    return sum(asked) / len(asked)
