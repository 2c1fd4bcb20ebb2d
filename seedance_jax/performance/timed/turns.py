"""Runs in turns, so that a slow moment of the machine affects all; each in a process of its own."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from seedance_jax.performance.timed import subjects

LEAST = 3  # rounds, whatever they take


def in_turns(runners: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, float]:
    """{name: median seconds} of functions that run in turns, after a first round that compiles."""
    for runner in runners.values():
        runner()
    timed = {name: lambda one=one: subjects.seconds_of(one) for name, one in runners.items()}
    return {name: statistics.median(runs) for name, runs in rounds(timed, repeats).items()}


def rounds(
    runners: Mapping[Any, Callable[[], float]], repeats: int, limit: float = float("inf")
) -> dict[Any, list[float]]:
    """{name: seconds of its runs} of functions that return their seconds.

    Every other round goes through them in reverse. There are `repeats` rounds, or as many, but
    LEAST, as begin before `limit` seconds have passed.
    """
    found, start = {name: [] for name in runners}, time.perf_counter()
    for turn in range(repeats):
        if turn >= LEAST and time.perf_counter() - start > limit:
            break
        for name in list(runners)[:: -1 if turn % 2 else 1]:
            found[name].append(runners[name]())
    return found


class Process:
    """A process of `subjects` that serves a checkout; a context manager that ends it.

    Attributes:
      device: what it runs on, in words.

    Raises:
      ValueError: the checkout has no package, or it is not the one that is imported.
      RuntimeError: the process ended.
    """

    def __init__(self, checkout: str | Path):
        self.checkout = Path(checkout).resolve()
        cache = jax.config.jax_compilation_cache_dir
        environment = os.environ | {"PYTHONPATH": str(self.checkout)}
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache} if cache else {}
        self._process = subprocess.Popen(
            [sys.executable, "-P", subjects.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            hello = self.ask()
            if Path(hello["checkout"]) != self.checkout:
                raise ValueError(f"{checkout} is no checkout of this repository")
        except BaseException:
            self.__exit__()
            raise
        self.device = hello["device"]

    def ask(self, **message: Any) -> dict[str, Any]:
        """The answer to a message; ValueError if it is an error."""
        with contextlib.suppress(BrokenPipeError):  # then there is no answer, either
            print(json.dumps(message), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.checkout} ended: {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(f"{self.checkout}: {answer['error']}")
        return answer

    def prepare(self, subject: str, settings: Mapping[str, Any]) -> None:
        """Makes what `run` runs, and runs it once."""
        self.ask(prepare=subject, **settings)

    def run(self) -> float:
        """Seconds of one run of what was prepared."""
        return self.ask(run=1)["seconds"]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with contextlib.suppress(BrokenPipeError):  # of what could not be asked
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
