"""Merging of generators that were tuned from the same weights: an ordinary run of one generator.

Seedance 1.0 merges its specialists into one model (Section 2.5 of arXiv:2506.09113) without saying
how. METHODS are the usual ways. Weights of runs that started from the same ones can be averaged
(arXiv:2203.05482), those of others cannot.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from seedance_jax.data.curation import filters
from seedance_jax.pretrained import lineage
from seedance_jax.pretrained.runs import Run
from seedance_jax.training import checkpoint, places, run_directory
from seedance_jax.training.finiteness import check_finite
from seedance_jax.training.places import Place

TOLERANCE = 1e-6  # of a sum of weights


class Merger(NamedTuple):
    """What the methods of merging are given.

    Attributes:
      runs: of generators.
      parent: the run that all of them started from, see `lineage.parent`.
      weights: one for each run; () where not given.
      scale: of the sum of the differences from the parent.
      judge: params -> how good they are, on a suite for choosing; None where not given.
    """

    runs: Sequence[Run]
    parent: Mapping[str, Any]
    weights: Sequence[float] = ()
    scale: float = 0.5
    judge: Callable[[Any], float] | None = None


def uniform(merger: Merger) -> tuple[Any, dict[str, Any]]:
    """The mean of all (model soups, arXiv:2203.05482)."""
    return average(merger, [1 / len(merger.runs)] * len(merger.runs)), {}


def weighted(merger: Merger) -> tuple[Any, dict[str, Any]]:
    """The mean by `weights`."""
    check_weights(merger.weights, len(merger.runs))
    return average(merger, merger.weights), {"weights": list(merger.weights)}


def greedy(merger: Merger) -> tuple[Any, dict[str, Any]]:
    """Best first, each is kept in the mean only if `judge` finds it no worse (arXiv:2203.05482)."""
    if merger.judge is None:
        raise ValueError("method=greedy chooses by a suite: --suite=..._dev is missing")
    scores = [merger.judge(checkpoint.load(run.path)) for run in merger.runs]
    order = sorted(range(len(scores)), key=lambda number: -scores[number])
    kept, best = order[:1], scores[order[0]]
    for number in order[1:]:
        tried = [*kept, number]
        score = merger.judge(mean_of(merger, tried))
        if score >= best:
            kept, best = tried, score
    names = [str(merger.runs[number].path) for number in kept]
    return mean_of(merger, kept), {"scores": scores, "kept": names, "score": best}


def task_arithmetic(merger: Merger) -> tuple[Any, dict[str, Any]]:
    """The parent plus `scale` times the sum of the differences from it (arXiv:2212.04089)."""
    parent = checkpoint.load(merger.parent["run"])
    if (found := lineage.weights_hash(parent)) != merger.parent["weights"]:
        raise ValueError(f"the weights of {merger.parent} are {found} now")
    added = jax.tree.map(np.zeros_like, parent)
    for run in merger.runs:
        added = jax.tree.map(lambda a, x, p: a + (x - p), added, checkpoint.load(run.path), parent)
    scale = np.float32(merger.scale)
    merged = jax.tree.map(lambda p, a: p + scale * a, parent, added)
    return merged, {"scale": merger.scale}


METHODS = {
    "uniform": uniform,
    "weighted": weighted,
    "greedy": greedy,
    "task_arithmetic": task_arithmetic,
}


def check_weights(weights: Sequence[float], count: int) -> None:
    """Raises ValueError unless there is a weight for each run, and they sum to one."""
    if len(weights) != count:
        raise ValueError(f"weights={[*weights]}: there must be one for each of {count} runs")
    if not abs(sum(weights) - 1) <= TOLERANCE or min(weights) < 0:
        raise ValueError(
            f"weights={[*weights]}: must be 0 or more and sum to 1, not {sum(weights)}"
        )


def average(merger: Merger, weights: Sequence[float]) -> Any:
    """The mean of the runs' params by weights; one set of params is held beside the sum.

    Of equal params it is those, to the last bit: to the first are added differences from it.
    """
    first, *rest = merger.runs
    start = checkpoint.load(first.path)
    total = start
    for run, weight in zip(rest, weights[1:], strict=True):
        share = np.float32(weight)
        add = lambda t, x, s, w=share: t + w * (x - s)  # noqa: E731
        total = jax.tree.map(add, total, checkpoint.load(run.path), start)
    return total


def mean_of(merger: Merger, numbers: Sequence[int]) -> Any:
    """The mean of some of the runs."""
    return uniform(merger._replace(runs=[merger.runs[number] for number in numbers]))[0]


def check_alike(runs: Sequence[Run]) -> None:
    """Raises ValueError unless generators have the same model and language, and one autoencoder."""
    if len(runs) < 2:
        raise ValueError(f"merging takes two runs or more, got {len(runs)}")
    first, *rest = runs
    for run in rest:
        if lines := run_directory.differences(_parts(first), _parts(run)):
            raise ValueError(f"{run.path} is another model than {first.path}:{lines}")


def _parts(run):
    """What two generators must have in common, as far as it is not in their weights."""
    config = run_directory.complete(run.config)
    models = {name: run_directory.of_weights(config[name]) for name in ("model", "text")}
    for fields in models.values():
        fields.pop("gradients", None)  # may change from one start of a run to the next
    return models | {"finished": {name: run.metadata.get(name) for name in run_directory.SHARED}}


def merge_runs(
    runs: Sequence[Run],
    method: str,
    output: Place,
    judge: Callable[[Any], float] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Makes the run `output`, which names its parents; returns what the method says of itself.

    Args:
      method: of METHODS.
      judge, options: fields of `Merger` that the method takes: weights, scale.

    Raises:
      ValueError: `output` is in use, the runs are of other models or have no common parent, or the
        method lacks something.
    """
    check_alike(runs)
    run_directory.check_new("--output", output)
    parent = lineage.common_parent(runs)
    merger = Merger(runs, parent, judge=judge, **options)
    params, said = METHODS[method](merger)
    check_finite(params, f"the runs merged by {method}")
    parents = {"merged": [lineage.parent(run) for run in runs], "init_from": parent}
    like = runs[0]
    if all("filter" in run.config.get("data", {}) for run in runs):
        kept = filters.any_of([run.config["data"]["filter"] for run in runs])
        data = like.config["data"] | {"filter": kept}
        like = like._replace(config=like.config | {"data": data})
    write_merged(like, output, params, {"merged": {"method": method, **said}}, parents)
    return said


# Of metadata: what tells of one training alone.
OF_TRAINING = ("stopped", "trained")


def write_merged(
    like: Run, output: Place, params: Any, said: Mapping[str, Any], parents: Mapping[str, Any]
) -> None:
    """Writes a run that was not trained; it is there when it is complete.

    Args:
      like: run of the same model, whose config and metadata it has else.
      said: more metadata.
      parents: see `lineage`; the autoencoder is that of `like`.
    """
    kept = {name: value for name, value in like.metadata.items() if name not in OF_TRAINING}
    vae = {name: one for name, one in kept.get("parents", {}).items() if name == "vae_run"}
    metadata = kept | {
        **said,
        "parents": vae | parents,
        "weights": lineage.weights_hash(params),
        "vae_run": str(places.absolute(places.join(like.path, like.metadata["vae_run"]))),
        "makes": like.makes,
        "step": 0,
    }
    config = (
        dict(like.config)
        | {"name": "merged"}
        | ({"category": ""} if "category" in like.config else {})
    )
    with places.new_directory(output) as draft:
        checkpoint.save_weights(draft, params)
        run_directory.write_json(draft, "config.json", config)
        run_directory.write_json(draft, "metadata.json", metadata)
