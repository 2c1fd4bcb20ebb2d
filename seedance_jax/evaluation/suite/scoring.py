"""Samples the clips of a suite and judges them, one batch after the other."""

import hashlib
from pathlib import Path

import numpy as np
import tqdm

from seedance_jax.data.world import vocabulary
from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.judges import verdict
from seedance_jax.evaluation.metrics.batches import batches
from seedance_jax.evaluation.suite import axes, cases, results
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
# Modules of `judges` that no verdict depends on.
BESIDE = ("__init__", "drawing", "summary", "calibration")


def score(pipeline, suite, folder, limit=None, batch_size=16, **settings):
    """Samples and judges what is missing of the first `limit` clips of a suite.

    Clip i has the seed + i, and its place in a batch of `batch_size`, whatever was there before.

    Args:
      pipeline: a `sampling.pipeline.Pipeline`.
      folder: of the results, which are kept and added to; see `results`.
      settings: for the pipeline, such as num_inference_steps, guidance_scale and seed.

    Returns {number: row} of those clips, in process 0; of several, the others get {}.

    Raises:
      ValueError: model or setting do not fit the suite, or the folder has results of others.
    """
    cases.check_model(suite, pipeline.config, pipeline.metadata)
    chosen = cases.first_cases(suite, limit)
    settings, batch_size = {"seed": 0, **settings}, min(batch_size, len(chosen))
    identity = identify(pipeline, suite, settings)
    with results.open_rows(folder, identity) as (file, done):
        starts = missing_batches(chosen, done, batch_size)
        for start in tqdm.tqdm(
            starts, desc=suite.name, unit="batch", disable=not cluster.is_main()
        ):
            batch = chosen[start : start + batch_size]
            true = np.stack([cases.true_clip(suite, case) for case in batch])
            made = sample(pipeline, suite, batch, true, batch_size, settings)
            coded = pipeline.reconstruct(true[filled(batch, batch_size)], batch_size)
            for case, clips, parts in zip(
                batch, zip(true, coded, strict=False), made, strict=False
            ):
                if case.number not in done and cluster.is_main():
                    row = make_row(suite, folder, case, *parts)
                    row["reference"] = judge_reference(suite, case, *clips)
                    results.write_row(file, identity | row)
    if not cluster.is_main():
        return {}
    rows = results.read_rows(folder)
    return {case.number: rows[case.number] for case in chosen}


def identify(pipeline, suite, settings):
    """`results.IDENTITY` of a run; ValueError for an illegal setting."""
    plan = pipeline.prepare(suite.cases[0].prompt, **size_of(suite), **settings)
    return {
        "suite": suite.name,
        "checksum": suite.checksum,
        "weights": pipeline.fingerprint(),
        "judges": judges(),
        "settings": {
            "seed": settings["seed"],
            **{name: plan.settings[0][name] for name in SHARED},
        },
    }


def judges():
    """Hash (16 hex digits) of the code and numbers that verdicts are of."""
    digest = hashlib.sha256()
    for path in judging_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def judging_files():
    """Paths of them: `judges`, but for what only draws, sums up or calibrates, and its words."""
    folder = verdict.THRESHOLDS.parent
    own = [path for path in folder.iterdir() if path.suffix == ".py" and path.stem not in BESIDE]
    others = (Path(module.__file__) for module in (axes, fidelity, vocabulary))
    return [*sorted(own), verdict.THRESHOLDS, *others]


def size_of(suite):
    """Frames, height and width, as a request has them."""
    return {name: getattr(suite.spec, name) for name in ("num_frames", "height", "width")}


def missing_batches(chosen, done, batch_size):
    """Where the batches of cases begin that are not all done."""
    return [
        start
        for start in range(0, len(chosen), batch_size)
        if any(case.number not in done for case in chosen[start : start + batch_size])
    ]


def sample(pipeline, suite, batch, true, batch_size, settings):
    """[(what was given, frames uint8 [T,H,W,3], settings)] of a batch of cases and `true_clip`s.

    It is filled up with its last case, so that there is one shape to compile.
    """
    given = [cases.given_frames(case, clip) for case, clip in zip(batch, true, strict=True)]
    rows = filled(batch, batch_size)
    output = pipeline(
        prompt=[batch[row].prompt for row in rows],
        frames=[given[row] or None for row in rows],
        **size_of(suite),
        **settings | {"seed": settings["seed"] + batch[0].number},
    )
    return list(zip(given, output.frames, output.settings, strict=False))


def filled(batch, batch_size):
    """Rows of a batch, int [batch_size], with the last one again where it is smaller."""
    return next(batches(len(batch), batch_size))


def judge_reference(suite, case, true, coded):
    """{"true", "autoencoder": {dimension: gate}}: how far judges and autoencoder can be trusted.

    Args:
      true: the clip that a prompt tells of; coded: as the model's autoencoder gives it back.
    """
    judge = lambda frames: verdict.judge_clip(frames, float(suite.spec.fps), case.asked)  # noqa: E731
    return {"true": judge(true).gates, "autoencoder": judge(coded).gates}


def make_row(suite, folder, case, given, frames, settings):
    """Judges a clip and writes it; returns what of its row is not `results.IDENTITY`."""
    found = verdict.judge_clip(frames, float(suite.spec.fps), case.asked)
    finding, gate = axes.preservation(frames, given)
    findings, gates = found.findings | {axes.GIVEN: finding}, found.gates | {axes.GIVEN: gate}
    digest = hashlib.sha256(b"".join(pixels.tobytes() for pixels in given.values()))
    clip = results.write_clip(folder, case.number, frames, suite.spec.fps, settings, given)
    return {
        "number": case.number,
        "group": case.group,
        "prompt": case.prompt,
        "seed": settings["seed"],
        "given": digest.hexdigest()[:16] if given else "",
        "clip": clip,
        "verdict": verdict.Verdict(findings, gates).as_json(),
    }
