"""Samples the clips of a suite and judges them, one batch after the other."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from seedance_jax.data import schema
from seedance_jax.data.world import paths, quantities, spec, vocabulary
from seedance_jax.evaluation import fidelity
from seedance_jax.evaluation.judges import forms, verdict
from seedance_jax.evaluation.metrics.batches import batches
from seedance_jax.evaluation.suite import axes, cases, results
from seedance_jax.evaluation.suite.cases import Case, Suite
from seedance_jax.sampling.nonfinite import NonFiniteClip
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import cluster
from seedance_jax.training.finiteness import NonFiniteError

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
WORLD = (schema, paths, quantities, spec, vocabulary)
BESIDE = ("__init__", "drawing", "calibration", "trials", "true_clips")


def score(
    pipeline: Pipeline,
    suite: Suite,
    folder: str | Path,
    limit: int | None = None,
    batch_size: int = 16,
    **settings: Any,
) -> dict[int, dict]:
    """Samples and judges what is missing of the first `limit` clips of a suite.

    Clip i has the seed + i, and its place in a batch of `batch_size`, whatever was there before.

    Args:
      folder: of the results, which are kept and added to; see `results`.
      settings: for the pipeline, such as num_inference_steps, guidance_scale and seed.

    Returns {number: row} of those clips, in process 0; of several, the others get {}.

    Raises:
      ValueError: model or setting do not fit the suite, or the folder has results of others.
      NonFiniteError: a clip is not finite; those before it are judged.
    """
    cases.check_model(suite, pipeline.config, pipeline.metadata)
    chosen = cases.first_cases(suite, limit)
    settings, batch_size = {"seed": 0, **settings}, min(batch_size, len(chosen))
    identity = identify(pipeline, suite, settings)
    with results.open_rows(folder, identity) as (file, done):
        tell_done(chosen, done)
        starts = missing_batches(chosen, done, batch_size)
        for start in tqdm.tqdm(
            starts, desc=suite.name, unit="batch", disable=not (starts and cluster.is_main())
        ):
            batch = chosen[start : start + batch_size]
            true = np.stack([suite.clip(case) for case in batch])
            made, fault = sample(pipeline, suite, batch, true, batch_size, settings)
            coded = pipeline.reconstruct(true[filled(batch, batch_size)], batch_size)
            if cluster.is_main():
                for row in judge_batch(suite, folder, batch, (true, coded, made), done):
                    results.write_row(file, identity | row)
            if fault:
                raise NonFiniteError(fault)
    if not cluster.is_main():
        return {}
    rows = results.read_rows(folder)
    return {case.number: rows[case.number] for case in chosen}


def identify(pipeline: Pipeline, suite: Suite, settings: Mapping[str, Any]) -> dict:
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


def judges() -> str:
    """Hash (16 hex digits) of the code and numbers that verdicts are of."""
    digest = hashlib.sha256()
    for path in judging_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def judging_files() -> list[Path]:
    """Paths of them: `judges`, but for what only draws or calibrates, and what they know of the
    world."""
    folder = forms.THRESHOLDS.parent
    own = [path for path in folder.iterdir() if path.suffix == ".py" and path.stem not in BESIDE]
    others = (Path(module.__file__) for module in (axes, fidelity, *WORLD))
    return [*sorted(own), forms.THRESHOLDS, *others]


def size_of(suite: Suite) -> dict[str, int]:
    """Frames, height and width, as a request has them."""
    return {name: getattr(suite.form, name) for name in ("num_frames", "height", "width")}


def tell_done(chosen: Sequence[Case], done: set[int]) -> None:
    """Prints how many of the cases are done, and how many that are done are none of them."""
    old = sum(case.number in done for case in chosen)
    if old:
        print(f"{old} of {len(chosen)} clips were judged already")
    if others := len(done) - old:
        print(f"{others} more clips of an earlier call are kept, but do not count this time")


def missing_batches(chosen: Sequence[Case], done: set[int], batch_size: int) -> list[int]:
    """Where the batches of cases begin that are not all done."""
    return [
        start
        for start in range(0, len(chosen), batch_size)
        if any(case.number not in done for case in chosen[start : start + batch_size])
    ]


def sample(
    pipeline: Pipeline,
    suite: Suite,
    batch: Sequence[Case],
    true: np.ndarray,
    batch_size: int,
    settings: Mapping[str, Any],
) -> tuple[list[tuple[dict, np.ndarray, dict]], str]:
    """Samples a batch of cases, filled up with its last one: there is one shape to compile.

    Returns:
      ([(given frames, frames uint8 [T,H,W,3], settings)] of the cases before the first one whose
      clip is not finite, what is said of that one; "" if there is none).
    """
    given = [cases.given_frames(case, clip) for case, clip in zip(batch, true, strict=True)]
    rows = filled(batch, batch_size)
    fault = ""
    try:
        output = pipeline(
            prompt=[batch[row].prompt for row in rows],
            frames=[given[row] or None for row in rows],
            **size_of(suite),
            **settings | {"seed": settings["seed"] + batch[0].number},
        )
        made = output.frames, output.settings
    except NonFiniteClip as error:
        made = error.before, error.settings
        if len(error.before) < len(batch):  # else it is one that fills up
            fault = error.named(batch[len(error.before)].number)
    return list(zip(given, *made, strict=False)), fault


def filled(batch: Sequence[Case], batch_size: int) -> np.ndarray:
    """Rows of a batch, int [batch_size], with the last one again where it is smaller."""
    return next(batches(len(batch), batch_size))


def judge_batch(
    suite: Suite, folder: str | Path, batch: Sequence[Case], clips: Sequence, done: set[int]
) -> Iterator[dict[str, Any]]:
    """Yields the rows of the cases that are not done, without `results.IDENTITY`.

    Args:
      clips: (true clips, as the autoencoder gives them back, what `sample` returns).
    """
    references = {}  # several cases may be of one true clip
    for case, true, coded, made in zip(batch, *clips, strict=False):
        if case.number in done:
            continue
        place = case.split, case.index
        if place not in references:
            references[place] = judge_reference(suite, case, true, coded)
        jump = {"made": made[1], "true": true, "autoencoder": coded}
        yield make_row(suite, folder, case, *made) | {
            "reference": references[place],
            "jump": {name: change_after(case, frames) for name, frames in jump.items()},
        }


def judge_reference(suite: Suite, case: Case, true: np.ndarray, coded: np.ndarray) -> dict:
    """{"true", "autoencoder", "chance": {gate: True, False or None}}: what verdicts are worth.

    Args:
      true: the clip that a prompt describes, uint8 [T,H,W,3]: how far judges can be trusted; judged
        by the scene of another case, what passes by chance.
      coded: as the model's autoencoder gives it back: the best that any generator can do.
    """
    judge = lambda frames, scene: verdict.judge_clip(frames, float(suite.form.fps), scene).gates  # noqa: E731
    other = cases.other_scene(suite, case)
    return {
        "true": judge(true, case.scene),
        "autoencoder": judge(coded, case.scene),
        "chance": judge(true, other) if other else {},
    }


def change_after(case: Case, frames: np.ndarray) -> float | None:
    """Mean absolute change, in 8-bit levels, from the frames that begin a clip and are given to the
    next one; None if none are. Args: frames: uint8 [T,H,W,3]."""
    if not case.given or case.given[0][0]:
        return None
    last = case.given[0][1]
    return float(np.abs(frames[last + 1].astype(np.float32) - frames[last]).mean())


def make_row(
    suite: Suite,
    folder: str | Path,
    case: Case,
    given: Mapping[int, np.ndarray],
    frames: np.ndarray,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Judges a generated clip and writes it; returns what of its row is of it alone."""
    found = verdict.judge_clip(frames, float(suite.form.fps), case.scene)
    finding, gate = axes.preservation(frames, given)
    findings, gates = found.findings | {axes.GIVEN: finding}, found.gates | {axes.GIVEN: gate}
    digest = hashlib.sha256(b"".join(pixels.tobytes() for pixels in given.values()))
    clip = results.write_clip(folder, case.number, frames, suite.form.fps, settings, given)
    return {
        "number": case.number,
        "group": case.group,
        "prompt": case.prompt,
        "seed": settings["seed"],
        "given": digest.hexdigest()[:16] if given else "",
        "clip": clip,
        "verdict": verdict.Verdict(findings, gates).as_json(),
    }
