"""What a filter and the labels of a config say of a split: counts, examples, and how often right.

The synthetic world says which of its clips are flawed (`world.flaws`), so there labels have a
precision (of the clips with the label, those that have its flaw) and recalls (of those with a
flaw, those with the label).
"""

import collections
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import video
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import filters, selection
from seedance_jax.data.remote import Place
from seedance_jax.data.world.flaws import BORING

# The flaws of the world that labels of these names are meant for.
FLAWS = {
    "static": BORING,
    "shaky": ("shaken",),
    "blurry": ("out_of_focus",),
    "overexposed": ("overexposed",),
    "underexposed": ("underexposed",),
}
QUANTILES = (0.0, 0.02, 0.1, 0.5, 0.9, 0.98, 1.0)
SHOWN = 4  # clips of a reason


class Judged(NamedTuple):
    """The rows of a split by what the config says of them.

    Attributes:
      columns: {column: [rows]}, of all tables that labels or filter read.
      labels: {name: bool [rows]}.
      chosen: of the filter; None if there is none.
      flaws: names [rows] of what is wrong with clips of the world, "" with good ones; None of other
        data.
    """

    columns: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    chosen: selection.Selection | None
    flaws: np.ndarray | None

    @property
    def reasons(self) -> dict[str, np.ndarray]:
        """{why: bool [rows]}: conditions of the filter that fail or, without one, labels."""
        if self.chosen is None:
            return self.labels
        return {filters.negation(text): ~passed for text, passed in self.chosen.passes.items()}

    @property
    def measured(self) -> dict[str, np.ndarray]:
        """The columns of scorers."""
        names = (name for name in self.columns if name not in selection.OF_TABLES)
        return {name: self.columns[name] for name in names}

    @property
    def dropped(self) -> np.ndarray:
        """Rows with a reason, bool [rows]."""
        none = np.zeros(len(self.columns["num_frames"]), bool)
        return np.logical_or.reduce([none, *self.reasons.values()])


def judge(data: Mapping[str, Any], directory: Place, split: str) -> Judged:
    """What the data part of a config that has one source says of the rows of a split.

    Raises ValueError for an illegal filter or label, or if a table of scores is missing.
    """
    named = data.get("labels", {})
    labels = {name: selection.parse_label(name, named) for name in named}
    chosen = selection.select(data, directory, split)
    trees = selection.trees_of(data)
    columns, _ = selection.read_columns(trees, directory, split, data)
    found = {name: filters.evaluate(tree, columns) for name, tree in labels.items()}
    return Judged(columns, found, chosen, flaws_of(storage.open_split(directory, split)))


def flaws_of(source: Any) -> np.ndarray | None:
    """Names [rows] of the flaws of clips of the world; None of other data, or if none has any."""
    if "scene" not in source[0]:
        return None
    scenes = (json.loads(source[number]["scene"]) for number in range(len(source)))
    names = [(scene.get("flaw") or {"name": ""})["name"] for scene in scenes]
    return np.array(names) if any(names) else None


def make_report(judged: Judged) -> dict[str, Any]:
    """Counts of rows, ready for JSON; with flaws, also how often the labels are right."""
    reasons, dropped = judged.reasons, judged.dropped
    count = np.sum([*reasons.values()], axis=0)
    report = {
        "rows": len(dropped),
        "kept": int((~dropped).sum()),
        "by": "filter" if judged.chosen else "labels",
        "reasons": {
            why: {"rows": int(rows.sum()), "alone": int((rows & (count == 1)).sum())}
            for why, rows in reasons.items()
        },
        "quantiles": {
            name: [float(x) for x in np.nanquantile(values, QUANTILES)]
            for name, values in judged.measured.items()
            if values.dtype.kind != "U" and not np.isnan(values).all()
        },
        "words": {
            name: dict(collections.Counter(values.tolist()).most_common())
            for name, values in judged.measured.items()
            if values.dtype.kind == "U"
        },
    }
    if judged.flaws is not None:
        good = judged.flaws == ""
        report["good"] = {"rows": int(good.sum()), "dropped": int((good & dropped).sum())}
        report["right"] = {
            name: _right(judged.labels[name], judged.flaws, FLAWS[name])
            for name in judged.labels
            if name in FLAWS
        }
    return report


def _right(labelled, flaws, meant):
    """{"precision": (right, all), flaw: (found, all), ...} of a label."""
    right = {"precision": (int((labelled & np.isin(flaws, meant)).sum()), int(labelled.sum()))}
    for flaw in meant:
        right[flaw] = (int((labelled & (flaws == flaw)).sum()), int((flaws == flaw).sum()))
    return right


def format_report(report: Mapping[str, Any]) -> str:
    """A report as text."""
    rows = report["rows"]
    lines = [f"{report['kept']} of {rows} rows kept by the {report['by']}; dropped by"]
    lines += [
        f"  {why}: {count['rows']} ({count['alone']} by nothing else)"
        for why, count in report["reasons"].items()
    ]
    if "good" in report:
        good = report["good"]
        lines.append(f"of {good['rows']} clips without a flaw {good['dropped']} are dropped")
        lines += ["", "| label | precision | recall |", "|---|---|---|"]
        lines += [_line(name, right) for name, right in report["right"].items()]
    lines += ["", f"quantiles {', '.join(f'{q:g}' for q in QUANTILES)} of"]
    for name, values in report["quantiles"].items():
        lines.append(f"  {name:14} " + " ".join(f"{value:8.3g}" for value in values))
    for name, counts in report["words"].items():
        said = ", ".join(f"{word or 'none'} {count}" for word, count in counts.items())
        lines.append(f"  {name:14} {said}")
    return "\n".join(lines)


def _line(name, right):
    (true, labelled), *_ = right.values()
    found = [f"{flaw} {n} of {total}" for flaw, (n, total) in [*right.items()][1:]]
    return f"| `{name}` | {true} of {labelled} | {', '.join(found)} |"


def examples(judged: Judged, source: Any, shown: int = SHOWN) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (title, frames uint8 [T, H, W, 3]) of a few of the rows that each reason drops.

    They are spread evenly over the split, and none comes twice. A title has the other reasons, the
    flaw if it is known, and what was measured.
    """
    taken: set[int] = set()
    for why, rows in judged.reasons.items():
        numbers = [int(n) for n in np.flatnonzero(rows) if int(n) not in taken]
        chosen = np.linspace(0, len(numbers) - 1, min(shown, len(numbers))).round().astype(int)
        for number in (numbers[place] for place in chosen):
            taken.add(number)
            row = source[number]
            yield f"{why}: {_title(judged, number, why, row)}", video.decode_mp4(row["video"])[0]


def _title(judged: Judged, number: int, why: str, row: Mapping[str, Any]) -> str:
    also = [other for other, rows in judged.reasons.items() if rows[number] and other != why]
    parts = [f"row {row['id']}"] + [f"also {', '.join(also)}"] * bool(also)
    if judged.flaws is not None:
        parts.append(f"is {judged.flaws[number] or 'without a flaw'}")
    measured = [
        f"{name} {values[number]}" if values.dtype.kind == "U" else f"{name} {values[number]:.2f}"
        for name, values in judged.measured.items()
    ]
    return ", ".join([*parts, *measured])
