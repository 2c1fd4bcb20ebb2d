"""An early end of a training, and its best checkpoint, by a suite."""

from collections.abc import Mapping
from typing import Any

from seedance_jax.evaluation.suite import report
from seedance_jax.evaluation.suite.hook import SuiteHook
from seedance_jax.training import cluster, run_directory
from seedance_jax.training.places import Place
from seedance_jax.training.run_directory import BEST
from seedance_jax.training.saver import Saver
from seedance_jax.training.stopping import Stop


class PatientHook:
    """Pins the checkpoint that a suite finds best, and ends the training when none is better.

    Better is by `report.quality`; of equal ones the first is kept. What it knows is what the suite
    left in the run, so a training that goes on decides as one that never stopped.
    """

    def __init__(self, hook: SuiteHook, save: Saver, workdir: Place, patience: int) -> None:
        """patience: after so many reports in a row that are not better than the best.

        Raises ValueError if the best of the run was chosen by other clips or at other steps, or
        reports of the run cannot be compared.
        """
        self._hook, self._save, self._workdir, self._patience = hook, save, workdir, patience
        self._found = None
        best = cluster.of_main(lambda: run_directory.pinned(workdir).get(BEST))
        known = self._read()
        if best is not None and best not in known:
            raise ValueError(
                f"{workdir}: step {best}, its best, was not chosen by the first {hook.limit} clips "
                f"of {hook.folder.name}; go on with the --suite, the --suite_limit and the "
                "--suite_every of before"
            )

    def __call__(self, step: int, state: Any, metrics: Mapping[str, Any]) -> Stop | None:
        if self._found is None:
            self._found = self._remember(step)
        if self._hook.judge(step, state) is None:
            return None
        self._found[step] = self._read()[step]
        best = first_best(self._found)
        if best == step:
            self._save.pin(step, BEST)
        since = sum(1 for one in self._found if one > best)
        if since < self._patience:
            return None
        return Stop(f"{since} times no better by {self._hook.folder.name} than at step {best}")

    def _remember(self, step):
        """{step: quality} from the best checkpoint on, of those before a step; the best is pinned.

        Reports of that step and later ones are of weights that a killed run lost.
        """
        there, pins = cluster.of_main(
            lambda: [run_directory.all_steps(self._workdir), run_directory.read_pins(self._workdir)]
        )
        told = {one: quality for one, quality in self._read().items() if one < step}
        kept = {one: quality for one, quality in told.items() if one in there}
        if not kept:
            return {}
        best = first_best(kept)
        if pins.get(BEST) != best:  # killed between the two
            self._save.pin(best, BEST)
        return {one: quality for one, quality in told.items() if one >= best}

    def _read(self):
        """{step: quality} of all steps that the suite has judged."""
        read = lambda: [*self._hook.reports().items()]  # noqa: E731
        return {step: report.quality(found) for step, found in cluster.of_main(read)}

    def close(self) -> None:
        """Closes the hook of the suite."""
        self._hook.close()


def first_best(found: Mapping[int, tuple]) -> int:
    """The step of the highest quality, the first of several."""
    return max(sorted(found), key=found.get)
