"""All metrics of a set of clips against a reference, as a dict for JSON."""

import numpy as np

from seedance_jax.evaluation.clips import check_same
from seedance_jax.evaluation.metrics import intervals, plausibility, vbench, violations
from seedance_jax.evaluation.metrics.features import extract
from seedance_jax.evaluation.metrics.frechet import frechet_estimate, too_few
from seedance_jax.evaluation.metrics.kernel import kernel_estimate

LEAST = 4  # clips: two halves of two


def compare(real, fake, networks, seed=0):
    """Metrics of the `clips.Clips` fake against real.

    Args:
      networks: list of `features.Features`.
      seed: of the bootstrap and the shuffled frames.

    Returns:
      {"real", "fake": {"name", "clips"}, "form",
       the distances of each network, by name: {"value", "low", "high", "count"},
       "controls": the same distances {"real_halves": of one half of real to the other,
         "shuffled_frames": of one half to the other with the frames of each clip shuffled}: what
         nothing, and the loss of all order in time, count with as many clips,
       "vbench": `vbench.summarize` of both, "notes": [what to take care of]}.

    Raises:
      ValueError: the two differ in length, size or rate, or have fewer than 4 clips.
    """
    check_same(real, fake)
    for clips in (real, fake):
        if len(clips.frames) < LEAST:
            raise ValueError(f"{clips.name} has {len(clips.frames)} clips: needs {LEAST} or more")
    halves = real.frames[::2], real.frames[1::2]
    shuffled = shuffle_frames(halves[1], seed)
    distances, controls, notes = {}, {"real_halves": {}, "shuffled_frames": {}}, []
    for network in networks:
        first, second, mixed = (extract(network, clips) for clips in (*halves, shuffled))
        pairs = np.concatenate([first, second]), extract(network, fake.frames)
        distances |= distance(network, *pairs, seed)
        controls["real_halves"] |= distance(network, first, second, seed)
        controls["shuffled_frames"] |= distance(network, first, mixed, seed)
        notes += [f"{network.frechet}: {note}" for note in [too_few(*pairs)] if note]
    return {
        "real": {"name": real.name, "clips": len(real.frames)},
        "fake": {"name": fake.name, "clips": len(fake.frames)},
        "form": real.form,
        **distances,
        "controls": controls,
        "vbench": {name: of_clips(clips) for name, clips in (("real", real), ("fake", fake))},
        "notes": notes,
    }


def distance(network, x, y, seed):
    """{name: Estimate as a dict} of the two distances of features x and y."""
    return {
        network.frechet: frechet_estimate(x, y, seed)._asdict(),
        network.kernel: kernel_estimate(x, y, seed)._asdict(),
    }


def of_clips(clips):
    """`vbench.summarize` of `clips.Clips`, for JSON."""
    measured = [vbench.measure_clip(frames, clips.fps) for frames in clips.frames]
    return {name: as_json(estimate) for name, estimate in vbench.summarize(measured).items()}


def shuffle_frames(clips, seed=0):
    """Clips [N, T, H, W, 3] with the frames of each in an order of its own."""
    rng = np.random.default_rng(seed)
    return np.stack([clip[rng.permutation(len(clip))] for clip in clips])


def of_run(pipeline, num_pairs, seed=0):
    """{violation: {"captioned", "uncaptioned": `plausibility.compare`}} of the world, and "all".

    "all" is the preference over all pairs of all violations.
    """
    spec = violations.spec_of(pipeline.config["data"])
    report, hits, total = {}, dict.fromkeys(("captioned", "uncaptioned"), 0), 0
    for name in violations.VIOLATIONS:
        prompts, *clips = violations.make_pairs(name, spec, count=num_pairs)
        report[name] = {}
        for how, texts in (("captioned", prompts), ("uncaptioned", None)):
            found = plausibility.compare(pipeline, *clips, texts, seed=seed)
            hits[how] += round(found["preference"].value * num_pairs)
            report[name][how] = {key: as_json(value) for key, value in found.items()}
        total += num_pairs
    report["all"] = {how: as_json(intervals.share(count, total)) for how, count in hits.items()}
    return report


def as_json(value):
    """An Estimate as a dict, with None for what is not a number; other values as they are."""
    if not isinstance(value, intervals.Estimate):
        return value
    return {name: None if part != part else part for name, part in value._asdict().items()}
