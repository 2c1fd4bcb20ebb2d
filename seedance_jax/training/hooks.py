"""Hooks of the training loop: called as hook(step, state, metrics) after every step."""

import json
import time
from pathlib import Path

import jax
import numpy as np
import tensorboardX
import tqdm

COUNTERS = ("skipped", "streak")  # the highest value since the last record counts, not the mean


class NonFiniteError(RuntimeError):
    """Training met a run of steps with a non-finite loss or gradient."""


class LogHook:
    """Progress bar, `metrics.jsonl` and TensorBoard: means since the last record, every `every`.

    Values are fetched from the device only then, so that steps overlap. Raises NonFiniteError, then
    too, when `max_skipped` updates in a row were skipped at any time since the last record.
    """

    def __init__(self, workdir, *, first_step, num_steps, every, max_skipped, name):
        self._every, self._max_skipped, self._num_steps = every, max_skipped, num_steps
        self._step, self._pending, self._since = first_step, [], time.monotonic()
        self._main = jax.process_index() == 0
        if self._main:
            drop_records_after(Path(workdir) / "metrics.jsonl", first_step)
            self._file = open(Path(workdir) / "metrics.jsonl", "a", buffering=1)
            self._board = tensorboardX.SummaryWriter(str(Path(workdir) / "tensorboard"))
        self._bar = tqdm.tqdm(
            total=num_steps,
            initial=first_step,
            desc=name,
            unit="step",
            dynamic_ncols=True,
            mininterval=1.0,
            disable=not self._main,
        )

    def __call__(self, step, state, metrics):
        self._step = step
        self._pending.append(metrics)
        self._bar.update()
        if step % self._every and step != self._num_steps:
            return
        streak = self._write()["streak"]
        if streak >= self._max_skipped:
            raise NonFiniteError(
                f"step {step}: {int(streak)} updates in a row were skipped because the loss or the "
                f"gradient was not finite (limit max_skipped={self._max_skipped}); the last "
                "checkpoint is intact, try a lower optimizer.peak_lr"
            )

    def _write(self):
        record = self._reduce()
        if self._main:
            line = {name: value if np.isfinite(value) else None for name, value in record.items()}
            self._file.write(json.dumps({"step": self._step, **line}) + "\n")
            for name, value in record.items():
                self._board.add_scalar(name, value, self._step)
            self._bar.set_postfix(loss=f"{record['loss']:.4f}")
        return record

    def _reduce(self):
        steps = jax.device_get(self._pending)
        now = time.monotonic()
        record = {}
        for name in sorted(set().union(*steps)):
            values = [float(metrics[name]) for metrics in steps if name in metrics]
            finite = [value for value in values if np.isfinite(value)] or [float("nan")]
            record[name] = max(values) if name in COUNTERS else float(np.mean(finite))
        record["steps_per_second"] = len(steps) / max(now - self._since, 1e-9)
        self._pending, self._since = [], now
        return record

    def close(self):
        """Writes what is pending, of a run that stopped between two records, and ends the bar."""
        if self._pending:
            self._write()
        self._bar.close()
        if self._main:
            self._file.close()
            self._board.close()


def drop_records_after(path, step):
    """Removes what a killed run logged after its last checkpoint: those steps are done again."""
    if not path.exists():
        return
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in kept))
