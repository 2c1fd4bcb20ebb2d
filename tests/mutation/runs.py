"""Tests against a mutant: a process that has imported the libraries forks for each.

JAX must not have started its devices where a process forks, so what the tests import is imported
by the child; libraries alone are there before.
"""

import collections
import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

LIBRARIES = (
    *("jax.numpy", "flax.linen", "optax.contrib", "orbax.checkpoint", "grain.python", "pytest"),
    *("scipy.stats", "scipy.ndimage", "cv2", "av", "PIL.Image", "ml_collections", "mujoco"),
    *("numba", "tensorboardX", "tokenizers", "safetensors", "absl.testing.flagsaver"),
)
OPTIONS = "-x -q -p xdist.plugin -n 0 -p no:cacheprovider --no-header --tb=line -o addopts=".split()
CHOICE = ("-m", "not slow and not browser")
MEMORY = 8 * 2**30  # bytes a child may have


class Result(NamedTuple):
    """outcome: "survived", "killed" or "timeout"; test: the one that failed.

    tests: {id: (seconds, lines of the file that it ran)}.
    """

    outcome: str
    test: str
    seconds: float
    tests: dict


def warm(cache: Path):
    """Imports the libraries and sets what JAX reads when it is imported."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in LIBRARIES:
        importlib.import_module(name)


def run(folder: Path, module: tuple, source: str, files: list[str], limit, order=None, trace=False):
    """The Result of test files in a fork in which a module is made of `source`.

    Args:
      folder: what the tests print goes to log.txt there, and notes on them to tests.jsonl.
      module: its (name, path).
      limit: seconds after which the child is ended.
      order: key by which test ids are sorted.
      trace: notes the lines of the module that each test runs.
    """
    start, notes = time.monotonic(), folder / "tests.jsonl"
    notes.write_text("")
    child = os.fork()
    if child == 0:
        _child(folder, module, source, files, order, trace)
    status = _wait(child, start + limit)
    lines = notes.read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    tests = {event["id"]: (event["seconds"], event["lines"]) for event in events}
    failed = next((event["id"] for event in events if not event["passed"]), "")
    code = os.waitstatus_to_exitcode(status) if status is not None else None
    if code in (3, 4, 5):
        raise RuntimeError(f"pytest could not run {files}, see {folder / 'log.txt'}")
    outcome = {None: "timeout", 0: "survived"}.get(code, "killed")
    return Result(outcome, failed, time.monotonic() - start, tests)


def _wait(child, deadline):
    """The status of a child; None where it was ended at the deadline."""
    status = None
    while time.monotonic() < deadline:
        done, found = os.waitpid(child, os.WNOHANG)
        if done:
            status = found
            break
        time.sleep(0.02)
    try:
        os.killpg(child, signal.SIGKILL)  # with what it may have started
    except ProcessLookupError:
        pass
    if status is None:
        os.waitpid(child, 0)
    return status


def _child(folder, module, source, files, order, trace):
    """Never returns."""
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        descriptor = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        sys.meta_path.insert(0, Finder(*module, source))
        import pytest

        stream = (folder / "tests.jsonl").open("w", buffering=1)
        plugin = Plugin(stream, str(module[1]) if trace else None, order)
        code = pytest.main([*OPTIONS, *CHOICE, *files], plugins=[plugin])
        sys.stdout.flush()
    finally:
        os._exit(int(code))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, made of `source`; importlib asks for a class of these two."""

    def __init__(self, name, path, source):
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module):
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)


class Plugin:
    """Sorts tests, and writes a line of JSON about each."""

    def __init__(self, stream, traced, order):
        self.stream, self.traced, self.order = stream, traced, order
        self.seconds, self.failed = collections.Counter(), set()
        self.lines = set()

    def pytest_collection_modifyitems(self, items):
        if self.order:
            items.sort(key=lambda item: self.order(item.nodeid))

    def pytest_runtest_logstart(self, nodeid):
        self.lines = set()
        if self.traced:
            sys.settrace(self._trace)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid):
        sys.settrace(None)
        event = {
            "id": nodeid,
            "passed": nodeid not in self.failed,
            "seconds": round(self.seconds[nodeid], 3),
            "lines": sorted(self.lines),
        }
        print(json.dumps(event), file=self.stream)

    def _trace(self, frame, event, argument):
        return self._line if frame.f_code.co_filename == self.traced else None

    def _line(self, frame, event, argument):
        self.lines.add(frame.f_lineno)
        return self._line
