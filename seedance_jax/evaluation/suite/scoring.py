"""Samples the clips of a suite and judges them, one batch after the other."""

import hashlib

import numpy as np
import tqdm

from seedance_jax.evaluation.suite import axes, cases, results
from seedance_jax.evaluation.world import verdict
from seedance_jax.sampling import media
from seedance_jax.training import cluster

# Of the settings of a clip, those that the whole suite shares and that change clips.
SHARED = (
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "image_guidance_scale",
    "guidance_rescale",
    "guidance_interval",
    "solver",
)


def score(pipeline, suite, folder, limit=None, batch_size=16, **settings):
    """Samples and judges what is missing of the first `limit` clips of a suite.

    Clip i has the seed + i, and its place in a batch of `batch_size`, whatever was there before.

    Args:
      pipeline: a `sampling.pipeline.Pipeline`.
      folder: of the results, which are kept and added to; see `results`.
      settings: for the pipeline, such as num_inference_steps, guidance_scale and seed.

    Returns {number: row} of those clips.

    Raises:
      ValueError: model or setting do not fit the suite, or the folder has results of others.
    """
    cases.check_model(suite, pipeline.config, pipeline.metadata)
    chosen = cases.first_cases(suite, limit)
    settings = {"seed": 0, **settings}
    identity = identify(pipeline, suite, settings)
    done = results.read_rows(folder)
    for row in done.values():
        results.check_same(f"this run of {suite.name}", identity, str(folder), row)
    folder = media.check_writable(folder)
    batch_size = min(batch_size, len(chosen))
    starts = [
        start
        for start in range(0, len(chosen), batch_size)
        if any(case.number not in done for case in chosen[start : start + batch_size])
    ]
    cluster.wait("results were read")
    with results.open_rows(folder) as file:
        for start in tqdm.tqdm(starts, desc=suite.name, unit="batch", disable=None):
            batch = chosen[start : start + batch_size]
            given = [cases.given_frames(suite, case) for case in batch]
            made = sample(pipeline, suite, batch, given, batch_size, settings)
            for case, known, frames, made_by in zip(batch, given, *made, strict=False):
                if case.number in done or not cluster.is_main():
                    continue
                found = judge(suite, case, frames, known)
                parts = (frames, suite.spec.fps, made_by, known)
                clip = results.write_clip(folder, case.number, *parts)
                own = {**describe(case, known), "seed": made_by["seed"], "clip": clip}
                row = identity | own | {"verdict": found}
                results.write_row(file, row)
    cluster.wait("the clips were judged")
    rows = results.read_rows(folder)
    return {case.number: rows[case.number] for case in chosen}


def identify(pipeline, suite, settings):
    """`results.IDENTITY` of a run; ValueError for an illegal setting."""
    plan = pipeline.prepare(suite.cases[0].prompt, **size_of(suite), **settings)
    return {
        "suite": suite.name,
        "checksum": suite.checksum,
        "weights": pipeline.fingerprint(),
        "judges": hashlib.sha256(verdict.THRESHOLDS.read_bytes()).hexdigest()[:16],
        "settings": {
            "seed": settings["seed"],
            **{name: plan.settings[0][name] for name in SHARED},
        },
    }


def size_of(suite):
    """Frames, height and width, as a request has them."""
    return {name: getattr(suite.spec, name) for name in ("num_frames", "height", "width")}


def sample(pipeline, suite, batch, given, batch_size, settings):
    """(frames uint8 [N,T,H,W,3], settings of each) of a batch of cases.

    It is filled up with its last case, so that there is one shape to compile.
    """
    order = np.minimum(np.arange(batch_size), len(batch) - 1)
    output = pipeline(
        prompt=[batch[k].prompt for k in order],
        frames=[given[k] or None for k in order],
        **size_of(suite),
        **settings | {"seed": settings["seed"] + batch[0].number},
    )
    return output.frames[: len(batch)], output.settings[: len(batch)]


def judge(suite, case, frames, given):
    """The verdict on a clip, as a plain dict: that on the world's dimensions, and preservation."""
    found = verdict.judge_clip(frames, float(suite.spec.fps), case.asked)
    finding, gate = axes.preservation(frames, given)
    found = verdict.Verdict(
        {**found.findings, axes.GIVEN: finding}, {**found.gates, axes.GIVEN: gate}
    )
    return found.as_json()


def describe(case, given):
    """The fields of a row that tell of its case; given frames by their hash."""
    digest = hashlib.sha256(b"".join(pixels.tobytes() for pixels in given.values()))
    known = digest.hexdigest()[:16] if given else ""
    return {"number": case.number, "group": case.group, "prompt": case.prompt, "given": known}
