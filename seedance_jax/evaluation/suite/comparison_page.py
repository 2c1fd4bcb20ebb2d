"""A comparison as a page: the table, and clips side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedance_jax.evaluation.metrics.intervals import in_words
from seedance_jax.evaluation.suite import axes, page, pictures

SHOWN = 4  # pairs: of wins, of losses and of ties
LEGEND = (
    "Pairs of clips of the same prompt and seed. A win is a clip that passes where its partner "
    "does not; p is of McNemar's exact test, for each row by itself; Newcombe's intervals "
    "of 95 %. On the synthetic world."
)
HEAD = ("", "clips", "first", "second", "difference", "wins", "ties", "losses", "p")


def write_comparison(
    path: str | Path, report: Mapping[str, Any], pairs: Sequence[tuple[dict, dict]]
) -> None:
    """Writes the page of a comparison, see `comparison.compare`."""
    folders = [report[name]["folder"] for name in ("first", "second")]
    body = []
    for name in ("first", "second"):
        body.append(page.paragraph(f"{name}: {report[name]['folder']}"))
        body.append(page.paragraph(page.identity(report[name]), "soft"))
    body.append(page.paragraph(LEGEND, "soft"))
    body.append(page.section("Pairs", page.table(HEAD, table_lines(report["rows"]))))
    for title, sign in (("First wins", 1), ("Second wins", -1), ("Ties", 0)):
        chosen = [pair for pair in pairs if sign_of(pair) == sign][:SHOWN]
        if chosen:
            figures = "".join(figure(folders, pair) for pair in chosen)
            body.append(page.section(title, f'<div class="clips two">{figures}</div>'))
    page.write_page(path, f"{report['first']['suite']}: two runs", body)


def sign_of(pair: tuple[dict, dict]) -> int:
    """1 if the first clip passes alone, -1 if the second does, 0 otherwise."""
    first, second = (row["verdict"]["passed"] for row in pair)
    return first - second


def table_lines(rows: Mapping[str, Any]) -> list[str]:
    """A line for all gates, for each axis and gate."""
    lines = []
    for name, found in rows.items():
        whole = name == "all gates" or name in axes.AXES
        shown = page.words(name) if whole else page.gate_name(name)
        shares = [f"{found[part]:.2f}" for part in ("first", "second")]
        counts = [found[part] for part in ("wins", "ties", "losses")]
        difference = f'<span class="number">{in_words(found["difference"], "+.2f")}</span>'
        p = f"{found['p']:.2g}"
        lines.append(page.line([shown, found["clips"], *shares, difference, *counts, p]))
    return lines


def figure(folders: Sequence[str], pair: tuple[dict, dict]) -> str:
    """Two clips side by side."""
    halves = "".join(
        f'<div><img src="{pictures.of_row(folder, row)}" alt="clip {row["number"]}" '
        f'loading="lazy"><figcaption>{page.outcome(row)}{page.measured(row)}</figcaption></div>'
        for folder, row in zip(folders, pair, strict=True)
    )
    return (
        f'<figure><div class="pair">{halves}</div><figcaption>{page.caption(pair[0])}'
        "</figcaption></figure>"
    )
