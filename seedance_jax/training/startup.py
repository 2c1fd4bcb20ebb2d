"""How long a training takes from the start of its process to its first step, part by part."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import tqdm

from seedance_jax.training import cluster, run_directory
from seedance_jax.training.places import Place

FILE = "startup.json"
# The parts, in order, each with what it ends with.
PARTS = {
    "imports": "Python and the libraries are loaded",
    "cluster": "the processes have met",
    "checks": "config and run directory are checked",
    "stage": "the data and the models that are not trained are open",
    "init": "the first weights are made",
    "restore": "a checkpoint, or the run to start from, is read",
    "batch": "the first batch is on the devices",
    "compile": "the step is compiled, or read from the cache",
    "step": "the first step is done",
}


class Clock:
    """The seconds of each part of one start, which began at `since` of `time.monotonic`."""

    def __init__(self, since: float):
        self.seconds, self._last = {}, since

    def mark(self, part: str) -> None:
        """Ends a part."""
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    @property
    def ended(self) -> bool:
        """Whether the first step is done."""
        return "step" in self.seconds


CLOCKS: list[Clock] = []  # of the start that is under way or, if it has ended, was the last


def begin(of_process: bool = False) -> None:
    """A start begins, unless one is under way; that `of_process` with the process itself, once."""
    if of_process and not CLOCKS:
        CLOCKS.append(Clock(began()))
    elif of_process or not CLOCKS or CLOCKS[0].ended:
        CLOCKS[:] = [Clock(time.monotonic())]


def mark(part: str, ready: Any = None) -> None:
    """Ends a part of PARTS of the start that is under way, once the arrays `ready` are computed."""
    for clock in CLOCKS:
        if not clock.ended:
            jax.block_until_ready(ready)
            clock.mark(part)


def told(seconds: Mapping[str, float], step: int) -> str:
    """What is said of a start, when its first step is done."""
    parts = ", ".join(f"{name} {seconds[name]:.1f}" for name in PARTS if name in seconds)
    return f"{sum(seconds.values()):.1f} s from the start to step {step}: {parts}"


class StartupHook:
    """Says how long a start took when its first step is done, and writes it to `startup.json`.

    Process 0 does; the file is of the last start.
    """

    def __init__(self, workdir: Place):
        self._workdir, self._done = workdir, False

    def __call__(self, step: int, state: Any, metrics: Any) -> None:
        if self._done:
            return
        self._done = True
        mark("compile")
        mark("step", metrics)
        if cluster.is_main():
            seconds = {name: round(value, 3) for name, value in CLOCKS[0].seconds.items()}
            tqdm.tqdm.write(told(seconds, step))
            found = {"step": step, "processes": jax.process_count(), "seconds": seconds}
            self._write(found)

    def _write(self, found):
        try:
            run_directory.write_json(self._workdir, FILE, found)
        except Exception as error:  # of the storage, of many kinds; training needs no such file
            tqdm.tqdm.write(f"WARNING: no {FILE}: {error}", file=sys.stderr)

    def close(self) -> None:
        """There is nothing to close."""


def began() -> float:
    """When this process was started, as `time.monotonic` counts; now, where Linux does not say."""
    now, file = time.monotonic(), Path("/proc/self/stat")
    if not file.exists():
        return now
    fields = file.read_text().rpartition(")")[2].split()  # the name of the program may hold spaces
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # after the machine was
    return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
