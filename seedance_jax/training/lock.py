"""One run at a time in a work directory.

On this machine the system keeps the lock, `.lock`, and drops it when the process ends. In a bucket
locks are `lock/<number>.json`. The highest number has the directory, and is made by one process
alone. Its holder writes it anew every few seconds, and says there when it is done; who finds one
that is not done looks whether that goes on, and takes the next number if it does not. No clocks are
compared.
"""

import datetime
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from seedance_jax.training import cluster, places

FILE, FOLDER = ".lock", "lock"
BEAT = 10.0  # seconds from one time to the next
DEAD = 3  # beats without a sign, after which a holder counts as gone


class Lock:
    """Makes a directory, and holds it from now until `close`. It is a hook of the loop, too.

    Raises ValueError, with the host and the time of the other, if another run holds it; called as
    a hook, if another has taken it, which one that could not reach the storage must expect. Then
    `lost()` is called as soon as this is found out, in another thread.
    """

    def __init__(
        self,
        directory: str | places.Place,
        beat: float = BEAT,
        lost: Callable[[], None] = lambda: None,
    ):
        self._lost = lost
        self._directory, self._beat = places.place(directory), beat
        self._directory.mkdir(parents=True, exist_ok=True)
        self._about = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "token": secrets.token_hex(8),  # no other is like it
        }
        self._ended, self._taken, self._close = threading.Event(), "", lambda: None
        if places.in_bucket(directory):
            self._take_number()
        else:
            self._take_file()

    def __call__(self, step: int, state: Any, metrics: Any) -> None:
        if self._taken:
            raise ValueError(f"{self._taken}; that run goes on, this one ends")

    def close(self) -> None:
        """Gives the directory back."""
        self._ended.set()
        self._close()

    def _take_file(self):
        file = (self._directory / FILE).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            content = file.read()
            file.close()
            raise ValueError(self._explain(json.loads(content or "{}"))) from None
        except OSError as error:  # of a mount that has no locks
            print(f"WARNING: nothing keeps a second run out of {self._directory}: {error}")
        file.truncate(0)
        file.write(json.dumps(self._about))
        file.flush()
        self._close = file.close

    def _take_number(self):
        folder, made = self._directory / FOLDER, False
        while not made:
            newest, found = _newest(folder)
            self._watch(folder, newest, found)
            number = newest + 1
            self._path = folder / f"{number:08d}.json"
            made = places.create(self._path, self._content(0))
        for path in folder.glob("*.json"):
            if int(path.stem) < number:
                path.unlink(missing_ok=True)
        thread = threading.Thread(target=self._go_on, args=(folder, number), daemon=True)
        thread.start()
        self._close = thread.join

    def _watch(self, folder, number, found):
        """Returns once the holder of a number is gone; raises ValueError if it is alive."""
        if not found or found.get("ended"):
            return
        print(f"{self._explain(found)}, unless that was stopped: waiting for a sign of life")
        end = time.monotonic() + DEAD * self._beat
        while time.monotonic() < end:
            time.sleep(self._beat / 10)
            if (now := _newest(folder)) != (number, found):
                if now[1].get("ended"):
                    return
                raise ValueError(self._explain(now[1]))

    def _go_on(self, folder, number):
        count = 0
        while not self._ended.wait(self._beat):
            count += 1
            try:
                newest, found = _newest(folder)
                if newest > number:
                    self._taken = self._explain(found)
                    self._lost()
                    return
                self._path.write_bytes(self._content(count))
            except Exception:  # of the storage, of many kinds; it may be back in time
                continue
        try:
            self._path.write_bytes(self._content(count, ended=True))
        except Exception:  # then the next run waits
            return

    def _content(self, beat, **more):
        return json.dumps({**self._about, "beat": beat, **more}).encode()

    def _explain(self, found):
        names = ("process", "host", "since")
        process, host, since = (found.get(name, "?") for name in names)
        return f"{self._directory} is in use by process {process} on {host} since {since}"


def hold(directory: str | places.Place, lost: Callable[[], None] = lambda: None) -> list[Lock]:
    """[what holds a directory], of process 0, [] in others; ValueError in all if another run does.

    All processes must call it. lost: see `Lock`.
    """
    held = []
    cluster.of_main(lambda: held.append(Lock(directory, lost=lost)))
    return held


def _newest(folder):
    """(the highest number, what its holder wrote); (0, {}) without any."""
    while paths := sorted(folder.glob("*.json")):
        try:
            return int(paths[-1].stem), json.loads(paths[-1].read_text())
        except FileNotFoundError:  # a higher one is there since
            continue
    return 0, {}
