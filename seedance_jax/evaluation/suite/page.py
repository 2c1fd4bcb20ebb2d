"""A report as a page: one file without any other, in light and dark."""

import html
import json
from pathlib import Path

from seedance_jax.evaluation.metrics.intervals import in_words
from seedance_jax.evaluation.suite import axes, pictures

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
    "A clip passes if every gate is open that was asked of it; what could not be measured has not "
    "passed. Bars are shares of clips, thin lines Wilson's intervals of 95 %. True clips that fail "
    "are errors of the judges; what fails of them when they have been through the model's "
    "autoencoder is lost there, whatever the generator does. On the synthetic world."
)
KEY = (
    "Drawn on the clips: the way of every object that was found, a circle of its size, and the "
    "parabola of a fall."
)


def write_report(path, folder, report, rows, fps):
    """Writes the page of a report (see `report.summarize`) of {number: row} in a folder."""
    of = f"{report['clips']} of {report['of']} clips, {in_words(report['passed'], '.2f')} pass"
    chosen = pictures.choose(list(rows.values()), SHOWN, int(report["checksum"][:8], 16))
    body = [
        paragraph(of),
        paragraph(identity(report), "soft"),
        paragraph(LEGEND, "soft"),
        paragraph(KEY, "soft"),
        section("Groups", group_table(report["groups"])),
        section("Dimensions", dimension_table(report)),
        *(
            section(f"{name.capitalize()} clips", clips(folder, part, fps))
            for name, part in chosen.items()
            if part
        ),
    ]
    write_page(path, f"{report['suite']}", body)


def write_page(path, title, body):
    """Writes a page of parts of HTML."""
    text = PAGE.format(title=html.escape(title), style=STYLE.read_text(), body="\n".join(body))
    Path(path).write_text(text, encoding="utf-8")


def identity(report):
    """What a report is of, in words."""
    told = [f"{name} {json.dumps(value)}" for name, value in report["settings"].items()]
    return (
        f"weights {report['weights']}; suite {report['checksum'][:16]}; judges {report['judges']}; "
        + ", ".join(told)
    )


def paragraph(text, kind=""):
    """A paragraph of plain text."""
    return f'<p class="{kind}">{html.escape(text)}</p>'


def section(title, content):
    """A part of the page."""
    return f"<section><h2>{html.escape(title)}</h2>\n{content}</section>"


def table(head, lines, kind=""):
    """A table of cells of HTML."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = "\n".join([f"<tr>{head}</tr>", *lines])
    return f'<div class="scroll"><table class="{kind}">{lines}</table></div>'


def line(cells, kind=""):
    """A row of a table, of cells of HTML; the first is its name."""
    first, *others = cells
    return (
        f'<tr class="{kind}"><th>{first}</th>'
        + "".join(f"<td>{cell}</td>" for cell in others)
        + "</tr>"
    )


def words(name):
    """A name as words."""
    return html.escape(name.replace("_", " "))


def bar(found):
    """A share with its interval, as text and as a bar."""
    if found is None:
        return '<span class="soft">-</span>'
    share, low, high = (100 * value for value in found)
    return (
        f'<div class="share"><span class="number">{in_words(found, ".2f")}</span>'
        f'<div class="bar"><i style="width:{share:.1f}%"></i>'
        f'<b style="left:{low:.1f}%;width:{high - low:.1f}%"></b></div></div>'
    )


def group_table(groups):
    """Groups by axes."""
    lines = [
        line([words(name), part["clips"], bar(part["passed"]), *map(bar, part["axes"].values())])
        for name, part in groups.items()
    ]
    return table(["", "clips", "passed", *(axis.replace("_", " ") for axis in axes.AXES)], lines)


def dimension_table(report):
    """Dimensions under their axes and headings."""
    lines = []
    for axis, part in report["axes"].items():
        cells = [words(axis), part["clips"], bar(part["passed"]), *reference(report, "axes", axis)]
        lines.append(line([*cells, "", ""], "axis"))
        for heading, found in part["headings"].items():
            lines.append(line([f"&ensp;{words(heading)}", "", bar(found), "", "", "", ""]))
            lines += dimension_lines(report, heading)
        if not part["headings"]:
            lines += dimension_lines(report, axis.replace("_", " "))
    head = ["", "asked", "passed", "true clips", "through the autoencoder", "measured", "median"]
    return table(head, lines, "inline")


def dimension_lines(report, heading):
    """The dimensions of a heading."""
    return [
        line(
            [
                dimension(name),
                part["asked"],
                bar(part["passed"]),
                *reference(report, "dimensions", name),
                "-" if part["measured"] is None else f"{part['measured']:.2f}",
                "-" if part["median"] is None else f"{part['median']:.3g}",
            ]
        )
        for name, part in report["dimensions"].items()
        if part["heading"] == heading and part["asked"]
    ]


def reference(report, kind, name):
    """Cells: what share of the true clips passes, and of those through the autoencoder."""
    found = [part[kind][name] for part in report["reference"].values()]
    return ["-" if share is None else f"{share[0]:.2f}" for share in found]


def dimension(name):
    """The name of a dimension, under that of its heading."""
    return f'&emsp;<span class="dimension">{words(name)}</span>'


def clips(folder, rows, fps):
    """Moving pictures of rows, with their verdicts."""
    figures = [figure(pictures.of_row(folder, row, fps), row) for row in rows]
    return f'<div class="clips">{"".join(figures)}</div>'


def figure(picture, row):
    """A clip with its prompt and verdict."""
    return (
        f'<figure><img src="{picture}" alt="clip {row["number"]}" loading="lazy"><figcaption>'
        f"{caption(row)}<br>{outcome(row)}{measured(row)}</figcaption></figure>"
    )


def caption(row):
    """Number, group and prompt of a row."""
    told = row["prompt"]
    if told.startswith("{"):
        parts = json.loads(told)
        told = " / ".join([parts["global"], *(shot["prompt"] for shot in parts["shots"])])
    return f"<small>{row['number']} {words(row['group'])}</small> {html.escape(told)}"


def outcome(row):
    """What a clip has failed by, with what was measured."""
    found = row["verdict"]
    failed = [name for name, gate in found["gates"].items() if gate is False]
    if not failed:
        return '<span class="good">passed</span>'
    told = ", ".join(f"{words(name)} {value(found['findings'][name])}" for name in failed)
    return f'<span class="bad">failed: {told}</span>'


def measured(row):
    """All that was measured of a clip, to be unfolded."""
    gates, findings = row["verdict"]["gates"], row["verdict"]["findings"]
    kinds = {True: "good", False: "bad", None: "soft"}
    lines = [
        f'<li class="{kinds[gates[name]]}">{words(name)} {value(finding)}</li>'
        for name, finding in findings.items()
    ]
    return f"<details><summary>measured</summary><ul>{''.join(lines)}</ul></details>"


def value(finding):
    """The value of a finding as text."""
    found = finding["value"]
    text = f"{found:.2f}" if isinstance(found, float) else json.dumps(found)
    return html.escape(text) if finding["valid"] else "not measurable"
