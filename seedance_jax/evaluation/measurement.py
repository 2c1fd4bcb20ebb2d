"""All metrics of a set of clips against a reference, as a dict for JSON."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.world import violations
from seedance_jax.data.world.pixels import shuffle
from seedance_jax.evaluation.clips import Clips, check_same
from seedance_jax.evaluation.metrics import paired, plausibility, vbench
from seedance_jax.evaluation.metrics.features import Features, check_length, extract
from seedance_jax.evaluation.metrics.frechet import frechet_estimate, too_few
from seedance_jax.evaluation.metrics.intervals import as_json, grouped_mean
from seedance_jax.evaluation.metrics.kernel import kernel_estimate
from seedance_jax.sampling.pipeline import Pipeline

LEAST = 8  # clips: two halves of four


def compare(
    real: Clips, fake: Clips, networks: Sequence[Features], seed: int = 0
) -> dict[str, Any]:
    """Metrics of the `clips.Clips` fake against real.

    Distances of few clips are too high (Frechet) or uncertain, so the controls, and the distance
    that they are for, are of sets of one size: half of real, or as many clips as fake has.

    Args:
      networks: list of `features.Features`.
      seed: of the bootstrap and the shuffled frames.

    Returns:
      {"real", "fake": {"name", "clips"}, "form",
       the distances of each network of all clips, by name: {"value", "low", "high", "count"},
       "controls": the same distances, of as many clips of each set as their count says, of one half
         of real {"real_halves": to the other half, which is what nothing counts;
         "shuffled_frames": to that with the frames of each clip shuffled; "fake": to fake},
       "vbench": `vbench.summarize` of both, "notes": [what to take care of]}.
    """
    size = min(len(real.frames) // 2, len(fake.frames))
    rows = spread(2 * size, len(real.frames))
    chosen, rng = spread(size, len(fake.frames)), np.random.default_rng(seed)
    shuffled = np.stack([shuffle(clip, 1.0, rng) for clip in real.frames[rows[1::2]]])
    distances, controls, notes = {}, {"real_halves": {}, "shuffled_frames": {}, "fake": {}}, []
    for network in networks:
        x, y, mixed = (extract(network, clips) for clips in (real.frames, fake.frames, shuffled))
        distances |= distance(network, x, y, seed)
        first, others = x[rows[::2]], (x[rows[1::2]], mixed, y[chosen])
        for name, other in zip(controls, others, strict=True):
            controls[name] |= distance(network, first, other, seed)
        for what, sets in (("", (x, y)), ("controls, ", (first, y[chosen]))):
            notes += [f"{what}{network.frechet}: {note}" for note in [too_few(*sets)] if note]
    dimensions = {name: of_clips(clips) for name, clips in (("real", real), ("fake", fake))}
    for name, found in dimensions.items():
        if not found["temporal_flickering"]["count"]:
            notes.append(f"{name}: no clip is still, and temporal_flickering is of still clips")
    return {
        "real": {"name": real.name, "clips": len(real.frames)},
        "fake": {"name": fake.name, "clips": len(fake.frames)},
        "form": real.form,
        **distances,
        "controls": controls,
        "vbench": dimensions,
        "notes": notes,
    }


def check(real: Clips, fake: Clips, networks: Sequence[Features]) -> None:
    """Raises ValueError unless sets can be compared: of one length, size and rate, of 8 clips or
    more each, which are large and long enough for VBench and all networks."""
    check_same(real, fake)
    vbench.check_frames(real.frames[0], real.fps)
    for clips in (real, fake):
        if len(clips.frames) < LEAST:
            raise ValueError(f"{clips.name} has {len(clips.frames)} clips: needs {LEAST} or more")
    for network in networks:
        check_length(network, real.frames.shape[1])


def spread(count: int, whole: int) -> np.ndarray:
    """Rows of `count` clips of `whole`, as evenly apart as can be."""
    return np.arange(count) * whole // count


def distance(network: Features, x: np.ndarray, y: np.ndarray, seed: int) -> dict[str, Any]:
    """{name: Estimate as a dict} of the two distances of features x and y."""
    return {
        network.frechet: as_json(frechet_estimate(x, y, seed)),
        network.kernel: as_json(kernel_estimate(x, y, seed)),
    }


def of_clips(clips: Clips) -> dict[str, Any]:
    """`vbench.summarize` of `clips.Clips`, for JSON."""
    measured = [vbench.measure_clip(frames, clips.fps) for frames in clips.frames]
    return {name: as_json(estimate) for name, estimate in vbench.summarize(measured).items()}


def check_paired(real: Clips, fake: Clips) -> None:
    """Raises ValueError unless two sets are folders of files of the same names, of clips that
    are large enough."""
    for clips in (real, fake):
        if not clips.files:
            raise ValueError(f"{clips.name} is no folder: clips are paired by the names of files")
    for one, other in ((real, fake), (fake, real)):
        if alone := sorted(set(one.files) - set(other.files)):
            raise ValueError(
                f"{one.name} has {alone[0]}, {other.name} has not: clips are paired by the names "
                f"of files, and {len(alone)} have no partner"
            )
    paired.check_size(real.frames.shape)


def of_sets(
    real: Clips,
    fake: Clips,
    networks: Sequence[Features],
    lpips: Callable | None = None,
    seed: int = 0,
    pairs: bool = False,
) -> dict[str, Any]:
    """`compare`, and with pairs "paired", see `of_pairs`.

    Raises ValueError as `check` and, with pairs, as `check_paired`.
    """
    check(real, fake, networks)
    if pairs:
        check_paired(real, fake)
    found = compare(real, fake, networks, seed)
    return found | ({"paired": of_pairs(real, fake, lpips)} if pairs else {})


def of_pairs(real: Clips, fake: Clips, lpips: Callable | None = None) -> dict[str, Any]:
    """{"psnr", "ssim", and "lpips" if there is one: Estimate as a dict}, see `paired.summarize`."""
    found = paired.summarize(real.frames, fake.frames, lpips)
    return {name: as_json(estimate) for name, estimate in found.items()}


def of_run(pipeline: Pipeline, num_pairs: int, seed: int = 0) -> dict[str, Any]:
    """How far a generator prefers what can happen in the world, see `plausibility`.

    Returns:
      {violation: {"captioned", "uncaptioned": `plausibility.compare`},
       "all": {"pairs": of all violations, "captioned", "uncaptioned": the preference over them}}.
      Violations share scenes, so that of "all" the interval redraws scenes, which its count is of.
    """
    spec = violations.spec_of(pipeline.config["data"])
    report, scenes = {}, {"captioned": {}, "uncaptioned": {}}
    for name in violations.VIOLATIONS:
        prompts, *clips, indices = violations.make_pairs(name, spec, count=num_pairs)
        report[name] = {}
        for how, texts in (("captioned", prompts), ("uncaptioned", None)):
            found = plausibility.compare(pipeline, *clips, texts, seed=seed)
            for index, preferred in zip(indices, found.pop("preferred"), strict=True):
                scenes[how].setdefault(index, []).append(preferred)
            report[name][how] = {key: as_json(value) for key, value in found.items()}
    overall = {
        how: as_json(grouped_mean(list(groups.values()), seed)) for how, groups in scenes.items()
    }
    report["all"] = {"pairs": num_pairs * len(violations.VIOLATIONS), **overall}
    return report
