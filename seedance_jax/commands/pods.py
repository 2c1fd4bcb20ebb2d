"""Compiles the training steps of `base` and `7b` for slices of four generations of TPUs: a table.

    python -m seedance_jax pods --out=runs/pods
    python -m seedance_jax pods --out=runs/pods --only=7b_480p_5s

needs the extra `tpu`, and no TPU. A compile takes minutes on two cores; reports are kept as they
come (JSON, see `seedance_jax compile`), and what is there is not compiled again. tpu7x needs
jax 0.11 or later. The exit status is 1 if something does not fit that should.
"""

import sys
from pathlib import Path

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.performance import pods

OUT = cli.define_path("out", None, "Folder of the reports.", required=True)
ONLY = flags.DEFINE_list("only", [], "Parts of names: compiles the cells that have one of them.")


def main(argv: list[str]) -> None:
    del argv
    cells, folder = pods.choose(ONLY.value), Path(OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    pods.check_readable([cell for cell in cells if not pods.report_of(cell, folder).exists()])
    reports = []
    for number, cell in enumerate(cells, 1):
        print(f"{number} of {len(cells)}: {cell.name}", flush=True)
        reports.append(pods.compile_cell(cell, pods.report_of(cell, folder)))
    print("", *pods.lines(cells, reports), sep="\n")
    pairs = zip(cells, reports, strict=True)
    if not all(report["memory"]["fits"] for cell, report in pairs if cell not in pods.REMAT):
        sys.exit(1)
