"""Small moving pictures in a page, with what the judges saw drawn on them."""

import base64
import collections
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seedance_jax.evaluation.judges import drawing
from seedance_jax.evaluation.judges.findings import Finding
from seedance_jax.evaluation.judges.verdict import Verdict
from seedance_jax.evaluation.suite import results
from seedance_jax.sampling import media

SHEET = 16  # clips of a group in a sheet, at most


def of_row(folder: str | Path, row: Mapping[str, Any]) -> str:
    """The clip of a row as a data URI, with the evidence on it."""
    found = row["verdict"]
    findings = {name: Finding(**finding) for name, finding in found["findings"].items()}
    frames, fps = results.read_clip(folder, row)
    height, width = (drawing.SCALE * size for size in frames.shape[1:3])
    drawn = drawing.draw(frames, Verdict(findings, found["gates"]))
    pixels = drawn[:, :height, :width]  # the rest is text, which a page has as text
    picture = media.animate(pixels, fps)
    return "data:image/webp;base64," + base64.b64encode(picture).decode()


def sheet(folder: str | Path, rows: Iterable[dict]) -> Image.Image:
    """A picture (`media.contact_sheet`) of the first `SHEET` clips of each group, with what they
    have failed by."""
    shown, counts = [], collections.Counter()
    for row in rows:
        counts[row["group"]] += 1
        if counts[row["group"]] <= SHEET:
            shown.append((label(row), results.read_clip(folder, row)[0]))
    return media.contact_sheet(shown)


def label(row: Mapping[str, Any]) -> str:
    """One line: group, prompt, and the gates that are shut."""
    failed = [name for name, gate in row["verdict"]["gates"].items() if gate is False]
    verdict = f"failed: {', '.join(failed)}" if failed else "passed"
    return f"{row['group']}: {plain_prompt(row)}  [{verdict}]"


def plain_prompt(row: Mapping[str, Any]) -> str:
    """The prompt of a row as text; those of the shots stand behind each other."""
    prompt = row["prompt"]
    if not prompt.startswith("{"):
        return prompt
    parts = json.loads(prompt)
    return " / ".join([parts["global"], *(shot["prompt"] for shot in parts["shots"])])


def choose(rows: Iterable[dict], count: int, seed: int) -> dict[str, list[dict]]:
    """{heading: rows}: `count` of the best, of the worst and of random ones, none of them twice.

    The best have the largest share of their gates open.
    """
    rows = sorted(rows, key=lambda row: (-quality(row), row["number"]))
    count = min(count, max(len(rows) // 3, 1))
    best, rest = rows[:count], rows[count:]
    worst, rest = rest[::-1][:count], rest[: max(len(rest) - count, 0)]
    drawn = np.random.default_rng(seed).permutation(len(rest))[:count]
    return {"best": best, "worst": worst, "random": [rest[k] for k in sorted(drawn)]}


def quality(row: Mapping[str, Any]) -> float:
    """Share of the gates of its scene that are open."""
    gates = [gate for gate in row["verdict"]["gates"].values() if gate is not None]
    return sum(gates) / len(gates)
