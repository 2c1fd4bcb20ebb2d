"""Makes an ordinary run of a generator of several: of specialists, or of a run and its adapters.

    python -m seedance_jax merge --runs=runs/sft_falls,runs/sft_meetings --output=runs/merged
    python -m seedance_jax merge --runs=runs/a,runs/b --method=weighted --weights=0.7,0.3 ...
    python -m seedance_jax merge --runs=runs/a,runs/b --method=greedy --suite=world_v2_dev ...
    python -m seedance_jax merge --runs=runs/a,runs/b --method=task_arithmetic --scale=0.5 ...
    python -m seedance_jax merge --workdir=runs/pretrain --lora=runs/lora --output=runs/merged

Runs that are merged must have started (init_from) from the same weights. The new run names them in
its metadata, see `describe --lineage`.
"""

import itertools
from typing import Any

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.evaluation.suite import cases, command, report
from seedance_jax.pretrained import adapters, merging, runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training.places import Place, place

RUNS = cli.define_paths("runs", [], "Runs of generators.")
METHOD = flags.DEFINE_enum("method", "uniform", list(merging.METHODS), "How runs are merged.")
WEIGHTS = flags.DEFINE_list("weights", [], "Of --method=weighted: one for each run; they sum to 1.")
SCALE = flags.DEFINE_float(
    "scale", 0.5, "Of --method=task_arithmetic: of the sum of the differences from the parent."
)
SUITE = flags.DEFINE_enum("suite", None, cases.dev_suites(), "Of --method=greedy: it judges by it.")
LIMIT = flags.DEFINE_integer("limit", None, "Of the suite: its first clips only.", 1)
WORKDIR = cli.define_path("workdir", None, "Run of the generator that gets adapters.")
LORA = cli.define_path("lora", None, "Run of the adapters.")
LORA_SCALE = flags.DEFINE_float("lora_scale", 1.0, "How much of them; 1 is as trained.")
OUTPUT = cli.define_path("output", None, "New run.", required=True, buckets=True)

# The flags that have a use, by what is merged and how.
USES = {
    "--runs": ("method",),
    "--method=weighted": ("weights",),
    "--method=greedy": ("suite", "limit"),
    "--method=task_arithmetic": ("scale",),
    "--workdir": ("lora",),
    "--lora": ("lora_scale",),
}


def main(argv: list[str]) -> None:
    del argv
    output = place(OUTPUT.value)
    if bool(RUNS.value) == bool(WORKDIR.value):
        raise ValueError("merge takes --runs=A,B,..., or --workdir=RUN and --lora=ADAPTERS")
    cli.needs(USES)
    if RUNS.value:
        merge_runs(output)
    else:
        merge_adapters(output)
    print(output)


def merge_adapters(output: Place) -> None:
    """Adds the adapters --lora to --workdir."""
    if not LORA.value:
        raise ValueError("--lora=ADAPTERS is missing")
    run = runs.open_run(WORKDIR.value, "generator")
    added = runs.open_run(LORA.value, "adapters", "--lora")
    adapters.merge_lora(run, added, LORA_SCALE.value, output)


def merge_runs(output: Place) -> None:
    """Merges --runs."""
    opened = [runs.open_run(path, "generator", "--runs") for path in RUNS.value]
    options = {"weights": read_weights(), "scale": SCALE.value}
    judge = Judge(opened[0], output) if SUITE.value else None
    for name, value in merging.merge_runs(opened, METHOD.value, output, judge, **options).items():
        print(f"{name}: {value}")


def read_weights() -> tuple[float, ...]:
    """Numbers of --weights."""
    try:
        return tuple(map(float, WEIGHTS.value))
    except ValueError:
        raise ValueError(f"--weights={','.join(WEIGHTS.value)}: not numbers") from None


class Judge:
    """Share of the clips of --suite that pass every gate; results go to <output>_judged."""

    def __init__(self, run: runs.Run, output: Place) -> None:
        self._suite, self._run = cases.read_dev_suite(SUITE.value), run
        self._folder = output.with_name(f"{output.name}_judged")
        self._pipeline, self._numbers = None, itertools.count(1)

    def __call__(self, params: Any) -> float:
        self._pipeline = (
            self._pipeline.with_params(params)
            if self._pipeline
            else Pipeline.of_params(self._run, params)
        )
        folder = self._folder / str(next(self._numbers))
        found = command.run(self._pipeline, self._suite, folder, LIMIT.value)
        print(f"{folder}: {report.one_line(found)}")
        return found["passed"][0]
