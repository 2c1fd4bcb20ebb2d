"""A report as a page: one file without any other, in light and dark."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seedance_jax.evaluation.metrics.intervals import in_words
from seedance_jax.evaluation.suite import axes, pictures
from seedance_jax.evaluation.suite import report as summary
from seedance_jax.training.places import Place, place

STYLE = Path(__file__).with_name("page.css")
SHOWN = 5  # clips: of the best, of the worst and of random ones
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
LEGEND = (
    "A clip passes if every gate is open that its scene has; what could not be measured has not "
    "passed. Bars are shares of clips, thin lines Wilson's intervals of 95 %. True clips that fail "
    "are errors of the judges; what fails of them when they have been through the model's "
    "autoencoder is lost there, whatever the generator does; by chance passes what true clips show "
    "of the scene of another. On the synthetic world."
)
KEY = (
    "Drawn on the clips: the way of every object that was found, a circle of its size, and the "
    "parabola of a fall."
)


def write_report(
    path: str | Path, folder: str | Path, report: Mapping[str, Any], rows: Mapping[int, dict]
) -> None:
    """Writes the page of a report (see `report.summarize`) of {number: row} in a folder."""
    of = f"of {summary.which(report)} {in_words(report['passed'], '.2f')} pass"
    chosen = pictures.choose(list(rows.values()), SHOWN, int(report["checksum"][:8], 16))
    body = [
        paragraph(of),
        paragraph(identity(report), "soft"),
        paragraph(LEGEND, "soft"),
        paragraph(KEY, "soft"),
        section("Groups", group_table(report["groups"])),
        *given_section(report["groups"]),
        section("Gates", gate_table(report)),
        *(
            section(f"{name.capitalize()} clips", clips(folder, part))
            for name, part in chosen.items()
            if part
        ),
    ]
    write_page(path, f"{report['suite']}", body)


def write_page(path: str | Place, title: str, body: Sequence[str]) -> None:
    """Writes a page of parts of HTML."""
    text = PAGE.format(title=html.escape(title), style=STYLE.read_text(), body="\n".join(body))
    place(path).write_text(text, encoding="utf-8")


def identity(report: Mapping[str, Any]) -> str:
    """What a report is of, in words."""
    settings = [f"{name} {json.dumps(value)}" for name, value in report["settings"].items()]
    return (
        f"weights {report['weights']}; suite {report['checksum'][:16]}; judges {report['judges']}; "
        + ", ".join(settings)
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{html.escape(text)}</p>'


def section(title: str, content: str) -> str:
    """A part of the page."""
    return f"<section><h2>{html.escape(title)}</h2>\n{content}</section>"


def table(head: Sequence[str], lines: Sequence[str], kind: str = "") -> str:
    """A table of cells of HTML."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = "\n".join([f"<tr>{head}</tr>", *lines])
    return f'<div class="scroll"><table class="{kind}">{lines}</table></div>'


def line(cells: Sequence[Any], kind: str = "") -> str:
    """A row of a table, of cells of HTML; the first is its name."""
    first, *others = cells
    return (
        f'<tr class="{kind}"><th>{first}</th>'
        + "".join(f"<td>{cell}</td>" for cell in others)
        + "</tr>"
    )


def words(name: str) -> str:
    """A name as words."""
    return html.escape(name.replace("_", " "))


def bar(found: Sequence[float] | None) -> str:
    """A share with its interval, as text and as a bar."""
    if found is None:
        return '<span class="soft">-</span>'
    share, low, high = (100 * value for value in found)
    return (
        f'<div class="share"><span class="number">{in_words(found, ".2f")}</span>'
        f'<div class="bar"><i style="width:{share:.1f}%"></i>'
        f'<b style="left:{low:.1f}%;width:{high - low:.1f}%"></b></div></div>'
    )


def group_table(groups: Mapping[str, Any]) -> str:
    """Groups by axes."""
    lines = [
        line([words(name), part["clips"], bar(part["passed"]), *map(bar, part["axes"].values())])
        for name, part in groups.items()
    ]
    return table(["", "clips", "passed", *(axis.replace("_", " ") for axis in axes.AXES)], lines)


def given_section(groups: Mapping[str, Any]) -> list[str]:
    """How given frames come back, and how clips go on from them; nothing where none were given."""
    lines = []
    for name, part in groups.items():
        kept = ", ".join(f"{frame}: {value:.1f}" for frame, value in part["given_frames"].items())
        jumps = [f"{value:.2f}" for value in (part["jump"] or {}).values()]
        if kept:
            lines.append(line([words(name), kept, *(jumps or ["-", "-"])]))
    head = ["", "frame: dB", "change to the next frame, over true clips'", "of the autoencoder"]
    return [section("Given frames", table(head, lines))] if lines else []


def gate_table(report: Mapping[str, Any]) -> str:
    """Gates under their axes and headings."""
    lines = []
    for axis, part in report["axes"].items():
        cells = [words(axis), part["clips"], bar(part["passed"]), *reference(report, "axes", axis)]
        lines.append(line([*cells, "", ""], "axis"))
        for heading, found in part["headings"].items():
            lines.append(line([f"&ensp;{words(heading)}", "", bar(found), *[""] * 5]))
            lines += gate_lines(report, heading)
        if not part["headings"]:
            lines += gate_lines(report, axis.replace("_", " "))
    head = ["", "clips", "passed", "true clips", "through the autoencoder", "by chance"]
    head += ["measured", "median"]
    return table(head, lines, "inline")


def gate_lines(report: Mapping[str, Any], heading: str) -> list[str]:
    """The gates of a heading."""
    return [
        line(
            [
                gate_name(name),
                part["clips"],
                bar(part["passed"]),
                *reference(report, "gates", name),
                "-" if part["measured"] is None else f"{part['measured']:.2f}",
                "-" if part["median"] is None else f"{part['median']:.3g}",
            ]
        )
        for name, part in report["gates"].items()
        if part["heading"] == heading and part["clips"]
    ]


def reference(report: Mapping[str, Any], kind: str, name: str) -> list[str]:
    """Cells: shares of the reference clips that pass."""
    found = [part[kind][name] for part in report["reference"].values()]
    return ["-" if share is None else f"{share[0]:.2f}" for share in found]


def gate_name(name: str) -> str:
    """The name of a gate, under that of its heading."""
    return f'&emsp;<span class="gate">{words(name)}</span>'


def clips(folder: str | Path, rows: Sequence[dict]) -> str:
    """Moving pictures of rows, with their verdicts."""
    figures = [figure(pictures.of_row(folder, row), row) for row in rows]
    return f'<div class="clips">{"".join(figures)}</div>'


def figure(picture: str, row: Mapping[str, Any]) -> str:
    """A clip with its prompt and verdict."""
    return (
        f'<figure><img src="{picture}" alt="clip {row["number"]}" loading="lazy"><figcaption>'
        f"{caption(row)}<br>{outcome(row)}{measured(row)}</figcaption></figure>"
    )


def caption(row: Mapping[str, Any]) -> str:
    """Number, group and prompt of a row."""
    prompt = html.escape(pictures.plain_prompt(row))
    return f"<small>{row['number']} {words(row['group'])}</small> {prompt}"


def outcome(row: Mapping[str, Any]) -> str:
    """What a clip has failed by, with what was measured."""
    found = row["verdict"]
    failed = [name for name, gate in found["gates"].items() if gate is False]
    if not failed:
        return '<span class="good">passed</span>'
    gates = ", ".join(f"{words(name)} {value(found['findings'][name])}" for name in failed)
    return f'<span class="bad">failed: {gates}</span>'


def measured(row: Mapping[str, Any]) -> str:
    """All that was measured of a clip, to be unfolded."""
    gates, findings = row["verdict"]["gates"], row["verdict"]["findings"]
    kinds = {True: "good", False: "bad", None: "soft"}
    lines = [
        f'<li class="{kinds[gates[name]]}">{words(name)} {value(finding)}</li>'
        for name, finding in findings.items()
    ]
    return f"<details><summary>measured</summary><ul>{''.join(lines)}</ul></details>"


def value(finding: Mapping[str, Any]) -> str:
    """The value of a finding as text."""
    found = finding["value"]
    text = f"{found:.2f}" if isinstance(found, float) else json.dumps(found)
    return html.escape(text) if finding["valid"] else "not measurable"
