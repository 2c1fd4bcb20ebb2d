"""A small suite during training."""

from collections.abc import Mapping
from typing import Any

import jax

from seedance_jax.data import sources
from seedance_jax.evaluation.suite import cases, command, report, results
from seedance_jax.pretrained import runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import cluster, places
from seedance_jax.training.loop import Stage

COMPARED = "the best is chosen among clips that are made alike; move one of the two elsewhere"


class SuiteHook:
    """Every `every` steps, runs the first clips of a `*_dev` suite on the EMA of the weights.

    Results, report and page are those of `command.run`, in suite_<name>/<step> of the run. Training
    waits for it: the first time longer, to compile.
    """

    def __init__(
        self,
        workdir: str | places.Place,
        config: Mapping[str, Any],
        stage: Stage,
        *,
        name: str,
        every: int,
        limit: int,
        mesh: jax.sharding.Mesh | None,
    ) -> None:
        """config: of the run, a dict; stage: its `Stage`.

        Raises ValueError if the run trains no generator, or not one that the suite is for.
        """
        if stage.generator_params is None:
            raise ValueError(f"suite={name}: only generators make clips, not this stage")
        suite, data = cases.read_dev_suite(name), config["data"]
        made = [bucket[:3] for bucket in data["buckets"]]
        cases.check_model(suite, config, {"buckets": made, "fps": sources.clip_fps(data)})
        cases.first_cases(suite, limit)
        self._folder, self._config, self._stage = places.place(workdir), config, stage
        self._generator_params = jax.jit(stage.generator_params)
        self._suite, self._every, self._limit, self._mesh = suite, every, limit, mesh
        self._pipeline = None

    @property
    def folder(self) -> places.Place:
        """Where results of all steps go."""
        return self._folder / f"suite_{self._suite.name}"

    @property
    def limit(self) -> int:
        """How many clips it makes."""
        return self._limit

    def __call__(self, step: int, state: Any, metrics: Mapping[str, Any]) -> None:
        self.judge(step, state)

    def judge(self, step: int, state: Any) -> Mapping[str, Any] | None:
        """The report of a step; None if none is due."""
        if step % self._every:
            return None
        folder = self.folder / f"{step:08d}"
        # A killed run made it, of weights that are lost.
        cluster.of_main(lambda: places.remove(folder))
        with jax.transfer_guard("allow"):
            params = self._generator_params(state.ema, self._stage.frozen)
            if self._pipeline is None:
                self._pipeline = self._open(state.ema, params)
            pipeline = self._pipeline.with_params(params)
            found = command.run(pipeline, self._suite, folder, self._limit, self._limit)
        if cluster.is_main():
            print(f"step {step}: {report.one_line(found)}")
        return found

    def reports(self) -> dict[int, Mapping[str, Any]]:
        """{step: report of the clips that this hook makes} of the steps at which all were judged.

        What else lies there is left out: `evaluate` may have judged more clips of a step, or fewer,
        or steps at which this hook is not due.

        Raises ValueError if the clips of two steps were sampled in different ways.
        """
        chosen = [case.number for case in cases.first_cases(self._suite, self._limit)]
        found, last = {}, None
        for folder in sorted(self.folder.glob("[0-9]*")):
            if int(folder.name) % self._every:
                continue
            rows = results.read_rows(folder)
            if any(number not in rows for number in chosen):
                continue
            rows = {number: rows[number] for number in chosen}
            one = (str(folder), rows[chosen[0]])
            results.check_same(*one, *(last or one), ("settings",), COMPARED)
            found[int(folder.name)], last = report.summarize(self._suite, rows), one
        return found

    def _open(self, ema, params):
        metadata = self._stage.finish(ema)
        run = runs.Run(self._folder, self._config, metadata, None, "generator")
        return Pipeline.of_params(run, params, mesh=self._mesh)

    def close(self) -> None:
        """Nothing is pending."""
