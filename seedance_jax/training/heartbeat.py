"""What a run says of itself while it goes on, for `status.py`, and for whoever reads its log.

`starts.jsonl` of a run directory has a line for each start; `heartbeats.json` says whether the run
goes on, and of each host when it was last heard of and what it does. A thread of every process
leaves a line with the coordinator (`cluster.post`), so no device is asked, and no step waits; that
of process 0 reads the lines of all and writes both files.
"""

import datetime
import json
import socket
import sys
import textwrap
import threading
import time
from typing import Any

import jax
import tqdm

from seedance_jax.training import cluster, lag, places, run_directory
from seedance_jax.training.places import Place, place
from seedance_jax.training.progress import Progress

FILE, STARTS, BOARD = "heartbeats.json", "starts.jsonl", "heartbeats"
BEAT, POSTS = 10.0, 5  # seconds from one file to the next; lines that a host leaves meanwhile
SAID, REPEATED = 60.0, 600.0  # seconds between lines in the log, and the same warning


class Heartbeat:
    """Context of a training job; all its processes have one. The loop writes to its `progress`.

    `ended` is the word that stands in the file when the context is left without an error.
    """

    def __init__(self, workdir: str | Place, beat: float = BEAT):
        self.progress, self.ended = Progress(), "interrupted"
        self._workdir, self._beat = place(workdir), beat
        self._about = {"process": jax.process_index(), "host": socket.gethostname()}
        self._state, self._error, self._lost = "running", "", False
        self._count, self._heard, self._told = 0, {}, {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._state = self.ended if error is None else "failed"
        if error is not None:
            self._error = textwrap.shorten(f"{kind.__name__}: {error}", 300)
        self._closed.set()
        # Of the others none writes, and a coordinator that is gone may keep them waiting.
        self._thread.join(None if cluster.is_main() else self._beat)

    def lose(self) -> None:
        """Another run has the directory: this one writes nothing there from now on."""
        self._lost = True

    def _go_on(self):
        start = said = time.monotonic()
        if cluster.is_main():
            self._try(lambda: note_start(self._workdir, self._about["host"]))
        while True:
            ending = self._closed.is_set()
            line = {**self._about, "beat": self._count, **self.progress.report(), "ended": ending}
            self._try(lambda line=line: cluster.post(BOARD, line))
            if cluster.is_main() and (ending or self._count % POSTS == 0):
                self._try(lambda line=line: self._write(line, start))
            self._count += 1
            if ending:
                return
            if cluster.joined() and time.monotonic() - said >= SAID:
                said = time.monotonic()
                say(f"heartbeat: {lag.describe(line)}")
            self._closed.wait(self._beat / POSTS)

    def _try(self, act):
        try:
            act()
        except Exception as error:  # of the storage or the coordinator; training needs neither
            self._warn("file", textwrap.shorten(f"no heartbeat: {error}", 300))

    def _write(self, line, start):
        if self._lost:
            return
        hosts = self._hear({0: line} | cluster.posted(BOARD), start)
        about = {"state": self._state, "error": self._error, "written": now()}
        content = json.dumps({**about, "hosts": hosts})
        places.write_whole(self._workdir / FILE, content + "\n")
        if self._state == "running" and (found := lag.find(hosts, self._beat)):
            self._warn(found[:2], found.text)

    def _hear(self, lines, start):
        """The lines of all hosts, each with its "age": seconds since it was heard."""
        hosts = []
        for process in range(jax.process_count()):
            line = lines.get(process, {"process": process, "host": None, "step": None})
            count, since = self._heard.get(process, (None, start))
            if line.get("beat") != count:
                since = time.monotonic()
                self._heard[process] = line["beat"], since
            hosts.append({**line, "age": round(time.monotonic() - since, 1)})
        return hosts

    def _warn(self, what, text):
        if time.monotonic() - self._told.get(what, -REPEATED) >= REPEATED:
            self._told[what] = time.monotonic()
            say(f"WARNING: {text}")


def say(line: str) -> None:
    """Prints a line above the progress bar."""
    tqdm.tqdm.write(line, file=sys.stderr)


def note_start(workdir: Place, host: str) -> None:
    """Adds a line to `starts.jsonl`: when, where, from which step, and what was reached before."""
    before = read_heartbeats(workdir)
    hosts, records = before.get("hosts", []), run_directory.read_lines(workdir, "metrics.jsonl")
    line = {
        "time": now(),
        "host": host,
        "processes": jax.process_count(),
        "step": run_directory.latest_step(workdir) or 0,
        "reached": max((one["step"] or 0 for one in (*hosts, *records[-1:])), default=0),
    }
    lines = [*run_directory.read_lines(workdir, STARTS), line]
    places.write_whole(workdir / STARTS, "".join(json.dumps(one) + "\n" for one in lines))


def read_heartbeats(workdir: str | Place) -> dict[str, Any]:
    """What `heartbeats.json` of a run holds; {} without one."""
    there = (place(workdir) / FILE).exists()
    return run_directory.read_json(workdir, FILE) if there else {}


def now() -> str:
    """The time in UTC, to a millisecond: a short run may last less than a second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
