"""Seconds of `sample` from the command to the finished file, part by part, in new processes.

    python -m seedance_jax.performance.timed.startup_speed STARTED FLAG ...

is such a process: the command itself, with a clock at the seams, STARTED being the `time.time()` at
which it was started; its last line is the seconds in JSON.
"""

import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from absl import app

PROMPT = "a red ball rolls to the left"
PARTS = ("imports", "weights", "programs", "sampling", "files", "others")


def measure(processes: int) -> Iterator[dict[str, Any]]:
    """Reports of a process that compiles all, and of the `processes` after it: their medians."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(folder) for _ in range(processes + 1)]
    yield {"processes": "the first, which compiles"} | summary(runs[:1])
    yield {"processes": f"median of {processes} more"} | summary(runs[1:])


def run(folder: str) -> dict[str, float]:
    """Seconds of the parts of one process, which keeps its programs in a folder."""
    flags = [f"--prompt={PROMPT}", "--seed=0", f"--output={folder}/clips"]
    command = [sys.executable, "-m", __name__, str(time.time()), *flags]
    environment = os.environ | {"SEEDANCE_EXECUTABLES": "1"}
    cache = f"--compilation_cache={folder}/cache"
    done = subprocess.run(
        [*command, cache], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    """Medians of the parts, of their sum, and of the sum without sampling."""
    whole = [sum(one.values()) for one in runs]
    rest = [total - one["sampling"] for total, one in zip(whole, runs, strict=True)]
    medians = {name: statistics.median(one[name] for one in runs) for name in PARTS}
    medians |= {"all": statistics.median(whole), "all but sampling": statistics.median(rest)}
    return {f"{name} s": round(seconds, 3) for name, seconds in medians.items()}


class Clock:
    """Adds up seconds of parts, each without those within it."""

    def __init__(self):
        self.spent, self._within = dict.fromkeys(PARTS, 0.0), [0.0]

    def time(self, owner: Any, name: str, part: str) -> None:
        """Lets a function, an attribute of `owner`, count as a part from now on."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            self._within.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - start
                self.spent[part] += seconds - self._within.pop()
                self._within[-1] += seconds

        setattr(owner, name, timed)


def main(started: float, argv: list[str]) -> None:
    """Runs `sample` and prints the seconds of its parts."""
    clock, run_app = Clock(), app.run

    def begin(*args, **kwargs):
        clock.spent["imports"] = time.time() - started
        watch(clock)
        run_app(*args, **kwargs)

    app.run, sys.argv = begin, ["seedance_jax", "sample", *argv]
    try:
        runpy.run_module("seedance_jax", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    clock.spent["others"] = time.time() - started - sum(clock.spent.values())
    print(json.dumps(clock.spent))


def watch(clock: Clock) -> None:
    """Lets a clock count the parts of `sample`, whose modules are there by now."""
    from seedance_jax.pretrained import executables
    from seedance_jax.sampling import media
    from seedance_jax.sampling.pipeline import Pipeline

    clock.time(Pipeline, "from_run", "weights")
    clock.time(Pipeline, "run", "sampling")
    clock.time(media, "write_clip", "files")
    for name in ("_load", "_compile"):
        clock.time(executables, name, "programs")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
