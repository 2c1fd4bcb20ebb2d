"""Saving checkpoints while training goes on; `checkpoint.py` says what is in one."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from seedance_jax.training import cluster, places, run_directory
from seedance_jax.training.checksums import ROLLED, checksums
from seedance_jax.training.places import Place


class Saver:
    """Saves every `every` steps and when forced.

    Kept are the last `keep` checkpoints, those of every `keep_every` steps (0: none of these) and
    those that `pin` names. Training goes on while a checkpoint is written. If that fails, the next
    call, or `close`, raises an OSError that says what is safe. Nothing is made or opened before
    `resume`, or the first call. All processes must make one.
    """

    def __init__(self, workdir: str | Place, *, every: int, keep: int = 2, keep_every: int = 0):
        self._every, self._workdir = every, workdir
        read = lambda: (run_directory.read_pins(workdir), run_directory.latest_step(workdir))  # noqa: E731
        (self._pins, newest), self._coming = cluster.of_main(read), {}
        self._options = {"keep": keep, "keep_every": keep_every, "pins": self._pins}
        self._done = newest or 0

    @functools.cached_property
    def _manager(self):
        return open_manager(self._workdir, **self._options)

    def __call__(
        self,
        step: int,
        state: Any,
        batches: grain.DatasetIterator,
        *,
        rolled: Any = None,
        force: bool = False,
    ) -> None:
        """Saves `state` and the position of the `batches` iterator after `step`, if it is due.

        rolled: the rolled-out batch that the next step trains on, too, if there is one.
        """
        self._done = step
        names = [name for name, coming in self._coming.items() if coming == step]
        due = force or names or step % self._every == 0
        if self._manager.latest_step() == step or not due:
            return
        items = {
            "state": ocp.args.StandardSave(stored_fields(state)),
            "data": grain.checkpoint.CheckpointSave(batches),
            "checksums": ocp.args.JsonSave(checksums(state) | checksums(rolled or {}, ROLLED)),
        }
        items |= {} if rolled is None else {"rollout": ocp.args.StandardSave(rolled)}
        with self._failures():
            self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        for name in names:
            self._hold(step, name)

    def pin(self, step: int, name: str) -> None:
        """Keeps the checkpoint of `step` as `name`, such as "best", until the name moves on.

        A step to come, or the one whose hooks are running, is saved when it is done, due or not,
        and gets the name then; until then the name stays where it is. All processes must call it.

        Raises:
          ValueError: a name that is empty or a number, or a step that is done and was not saved, or
            whose checkpoint was deleted.
        """
        if not name or name.isdigit():
            raise ValueError(f"pin: {name!r} must be a name, and not a number")
        if step > self._done:
            self._coming[name] = step
        elif step in (saved := self._manager.all_steps()):
            self._hold(step, name)
        else:
            raise ValueError(f"pin {name!r}: no checkpoint of step {step}, only of {sorted(saved)}")

    def _hold(self, step, name):
        with self._failures():
            self._manager.wait_until_finished()  # a name is of a checkpoint that is there
            self._coming.pop(name, None)
            self._pins[name] = step
            write = functools.partial(run_directory.write_json, self._workdir, run_directory.PINS)
            cluster.of_main(lambda: write(self._pins))

    def resume(self, batches: grain.DatasetIterator, step: int) -> None:
        """Restores the iterator saved at `step`, if it was saved by as many processes.

        Otherwise `batches` stays where it is: it already starts at `step`, which for a pipeline
        that is a pure function of the step is the same place.
        """
        self._done = step
        self._manager.reload()  # `restore` may have moved a checkpoint aside
        name = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        path = places.place(self._manager.directory) / str(step) / "data" / name
        if not path.exists():
            return
        try:
            # The manager would have every process look through the whole checkpoint.
            grain.checkpoint.CheckpointHandler().restore(path.parent, item=batches)
        except ValueError as error:
            raise OSError(f"{path} is damaged; delete it to go on by the step: {error}") from error

    def preempted(self, step: int) -> bool:
        """Whether the platform has announced, on any host, that the job will be stopped."""
        return self._manager.reached_preemption(step)

    def close(self) -> None:
        """Waits until everything is on disk."""
        if "_manager" not in vars(self):  # never opened
            return
        with self._failures():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _failures(self):
        try:
            yield
        except Exception as error:
            step = run_directory.latest_step(self._workdir)
            safe = "none is there yet" if step is None else f"that of step {step} is safe"
            raise OSError(
                f"cannot write a checkpoint to {self._workdir} ({safe}); make room, or give back "
                f"the permission, and start again: {error}"
            ) from error


def stored_fields(state: Any) -> Any:
    """What is stored of a TrainState: {name: field}, without slow copies if there are none.

    So it is what was stored before states had any.
    """
    if not dataclasses.is_dataclass(state):
        return state
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: value for name, value in fields.items() if name != "slow" or value}


class _Pinned:
    """Orbax's policy of keeping the checkpoints of pins {name: step}, as they are now."""

    def __init__(self, pins):
        self._pins = pins

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        return [info.step in self._pins.values() for info in checkpoints]


def open_manager(
    workdir: str | Place,
    keep: int | None = None,
    keep_every: int = 0,
    pins: Mapping[str, int] | None = None,
) -> ocp.CheckpointManager:
    """Orbax's manager of the checkpoints of a run; those of the `Saver` alone are ever deleted."""
    # Of several processes one lists what is there.
    options = {"enable_async_checkpointing": True, "single_host_load_and_broadcast": True}
    if keep is not None:
        policies = [managers.LatestN(keep), _Pinned(pins)]
        policies += [managers.EveryNSteps(keep_every)] if keep_every else []
        options["preservation_policy"] = managers.AnyPreservationPolicy(policies)
        options["cleanup_tmp_directories"] = True  # of processes that were killed
    path = places.absolute(workdir) / "checkpoints"
    return ocp.CheckpointManager(path, options=ocp.CheckpointManagerOptions(**options))
