"""What ends a training before its last step: signals, and hooks that have seen enough."""

import os
import signal
from typing import NamedTuple

from seedance_jax.training import cluster


class Stop(NamedTuple):
    """What a hook returns to end the training, saved, after the step that it was called for."""

    reason: str


class StopRequests:
    """Context in which SIGTERM, the first Ctrl-C and hooks ask for a stop, instead of killing.

    In one of several processes the runtime takes SIGTERM, tells the others, and lets them agree on
    a step (`saver.Saver.preempted`); Ctrl-C and the Stop of a hook are passed on to it.
    """

    def __init__(self):
        self._received, self._reason = False, ""

    def __enter__(self) -> "StopRequests":
        def receive(number, frame):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._request()

        numbers = (signal.SIGINT,) if cluster.joined() else (signal.SIGTERM, signal.SIGINT)
        try:
            self._old = {number: signal.signal(number, receive) for number in numbers}
        except ValueError:  # not the main thread, where no handler can be set
            self._old = {}
        return self

    def __exit__(self, *unused):
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def take(self, answer: Stop | None) -> None:
        """Takes what a hook returned."""
        if answer is not None:
            self._reason = self._reason or answer.reason
            self._request()

    def _request(self):
        if cluster.joined() and not self._received:
            os.kill(os.getpid(), signal.SIGTERM)
        self._received = True

    def stops_alone(self) -> bool:
        """Whether to stop at once; of several processes none does, they agree on a step."""
        return self._received and not cluster.joined()

    def reason(self) -> str:
        """Why a hook, of any process, ended the training; "" if none did. All must call it."""
        return next(filter(None, cluster.gather(self._reason)), "")
