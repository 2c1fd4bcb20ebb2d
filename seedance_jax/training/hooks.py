"""Hooks of the training loop: called as hook(step, state, metrics) when a step is dispatched."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tensorboardX
import tqdm

from seedance_jax.training import cluster
from seedance_jax.training.finiteness import NonFiniteError
from seedance_jax.training.places import Place, place
from seedance_jax.training.uploads import Mirror

FLUSH = 10  # seconds that TensorBoard's events, which a thread writes, are behind at most
COUNTERS = ("skipped", "streak")  # the highest value since the last record counts, not the mean


class LogHook:
    """Progress bar, `metrics.jsonl` and TensorBoard: means since the last record, every `every`.

    A record is fetched from the devices at the next call, when the next step is under way already;
    that of the last step at once. Raises NonFiniteError, then too, when `max_skipped` updates in a
    row were skipped at any time since the last record. Besides what the step gives, it logs

        steps_per_second
        idle      share of the steps that the devices had to wait for their batch
        goodput   share of the time since the last record (the first: since this object was made)
                  that its steps would have taken at their median; the rest went into starting,
                  compiling, saving, and waiting
        mfu       counted FLOPs per second over the devices' peak, if both are known
    """

    def __init__(self, workdir, *, num_steps, every, max_skipped, name, flops=None, peak=None):
        """flops: FLOPs of the mean step, forward and backward, over all devices.

        peak: FLOPs per second that all devices together could do.
        """
        self._workdir, self._every, self._num_steps = place(workdir), every, num_steps
        self._max_skipped, self._name = max_skipped, name
        self._pending, self._since, self._called, self._times = [], time.monotonic(), None, []
        self._bar, self._flops, self._peak = None, flops, peak
        self._lost = False

    def _open(self, first_step):
        self._main = cluster.is_main()
        if self._main:
            self._mirror = Mirror(self._workdir)
            path = self._mirror.fetch("metrics.jsonl")
            drop_records_after(path, first_step)
            self._file = open(path, "a", buffering=1)
            folder = str(self._mirror.path / "tensorboard")
            self._board = tensorboardX.SummaryWriter(folder, flush_secs=FLUSH)
        self._bar = tqdm.tqdm(
            total=self._num_steps,
            initial=first_step,
            desc=self._name,
            unit="step",
            dynamic_ncols=True,
            mininterval=1.0,
            disable=not self._main,
        )

    def __call__(self, step, state, metrics):
        if self._bar is None:
            self._open(step - 1)
        now = time.monotonic()
        if self._pending and self._pending[-1][0] % self._every == 0:
            self._check(self._write(now))
        if self._called is not None:
            self._times.append(now - self._called)
        self._called = now
        self._pending.append((step, metrics))
        self._bar.update()
        if step == self._num_steps:
            self._check(self._write())

    def lose(self) -> None:
        """Another run has the directory: what this one logs stays on this machine from now on."""
        self._lost = True

    def _check(self, record):
        if record["streak"] >= self._max_skipped:
            raise NonFiniteError(
                f"step {record['step']}: {int(record['streak'])} updates in a row were skipped "
                "because the loss or the gradient was not finite (limit "
                f"max_skipped={self._max_skipped}); the last checkpoint is intact, try a lower "
                "optimizer.peak_lr"
            )

    def _write(self, now=None):
        step, metrics = self._pending[-1][0], jax.device_get([row for _, row in self._pending])
        record = reduce(metrics) | self._speed(len(metrics), now or time.monotonic())
        self._pending, self._times = [], []
        if self._main:
            line = {name: value if np.isfinite(value) else None for name, value in record.items()}
            self._file.write(json.dumps({"step": step, **line}) + "\n")
            for name, value in record.items():
                self._board.add_scalar(name, value, step)
            if not self._lost:
                self._mirror.upload()
            self._bar.set_postfix(loss=f"{record['loss']:.4f}")
        return {"step": step, **record}

    def _speed(self, steps, now):
        seconds = max(now - self._since, 1e-9)
        self._since = now
        record = {"steps_per_second": steps / seconds}
        if self._times:
            record["goodput"] = min(steps * float(np.median(self._times)) / seconds, 1.0)
        if self._flops and self._peak:
            record["mfu"] = self._flops * steps / seconds / self._peak
        return record

    def close(self) -> None:
        """Writes what is pending, of a run that stopped between two records, and ends the bar."""
        if self._bar is None:
            return
        if self._pending:
            self._write()
        self._bar.close()
        if self._main:
            self._file.close()
            self._board.close()
            if self._lost:
                kept = self._mirror.path
                print(f"the log of this run, of {self._workdir}, is in {kept}", file=sys.stderr)
            else:
                self._mirror.leave()


def reduce(metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of the finite values of each metric over steps; the highest of COUNTERS."""
    record = {}
    for name in sorted(set().union(*metrics)):
        values = [float(step[name]) for step in metrics if name in step]
        finite = [value for value in values if np.isfinite(value)] or [float("nan")]
        record[name] = max(values) if name in COUNTERS else float(np.mean(finite))
    return record


class ProfileHook:
    """Writes a trace (of xprof, Perfetto) of `steps` steps from step `start` on to profile/."""

    def __init__(self, workdir, start, steps):
        if start < 2 or steps < 1:
            raise ValueError(
                f"profile={start},{steps}: the first step compiles; start at 2 or later"
            )
        self._path, self._start, self._last = place(workdir) / "profile", start, start + steps - 1
        self._mirror = None

    def __call__(self, step, state, metrics):
        if step == self._start - 1:
            jax.block_until_ready(metrics)
            self._mirror = Mirror(self._path)
            jax.profiler.start_trace(str(self._mirror.path))
        if step == self._last and self._mirror:
            jax.block_until_ready(metrics)
            self.close()

    def close(self) -> None:
        """Ends the trace of a run that stops before it."""
        if self._mirror:
            jax.profiler.stop_trace()
            self._mirror.leave()
            self._mirror = None
            print(f"profile: {self._path}")


def drop_records_after(path: Place, step: int) -> None:
    """Removes what a killed run logged after its last checkpoint: those steps are done again."""
    if not path.exists():
        return
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in kept))
