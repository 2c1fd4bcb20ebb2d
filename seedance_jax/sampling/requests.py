"""Requests to a pipeline, checked and completed before anything is computed."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data.schema import GLOBAL
from seedance_jax.diffusion import guidance, solvers
from seedance_jax.sampling import context
from seedance_jax.sampling.conditions import frame_rate, is_number, known_truth, truth_settings
from seedance_jax.sampling.given import collect
from seedance_jax.sampling.shots import latent_shots, parse_prompt, shot_lengths
from seedance_jax.sampling.sizes import resolve_size, size_note

SIZE = ("num_frames", "height", "width")
STEPS = dict(zip(SIZE, ("1, 5, 9, ... (4n+1)", *["16, 32, 48, ..."] * 2), strict=True))
MAX_SEED = 2**31 - 1
MAX_PIXELS = 2**31  # of all frames of a clip; no device holds more
GIVEN = ("image", "last_image", "video", "frames")


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of a pipeline, by diffusers' names.

    Attributes:
      prompt: text, or a list of N texts; for several shots see `shots`.
      negative_prompt: what to move away from, the same for all shots; the default is no caption.
      image, last_image: the first and the last frame, uint8 [H, W, 3]. The same image for both
        makes a loop. For N prompts these, video and frames are lists of N, with None for nothing.
      video: a clip to extend, uint8 [F, H, W, 3], "forward" or "backward" as `extend` says;
        num_frames counts its frames and the new ones.
      frames: {pixel frame: image, or clip that begins there}.
      size, ratio: a named size, such as "480p" and "16:9", in the place of
      height, width: pixels, multiples of 16. Their defaults, and that of
      num_frames: 4n+1, 1 makes an image; are those of the first bucket the model was trained on.
        Shots with durations decide num_frames themselves.
      fps: frames per second of what happens in the clip, by default those of the training; others
        need a model that knows them (`model.conditions`).
      gravity, camera, states: what a model that knows them (`model.conditions`) is told of all
        clips, as batches have it: m/s^2, float [n+1, 3, 4] and [n+1, 16, 5] for n+1 latent frames,
        see `data.schema.CONDITION`. By default they are not known.
      num_inference_steps: steps of the solver.
      guidance_scale, image_guidance_scale: guidance by the text (by default 4, and 1 for a
        checkpoint that guidance is distilled into) and by given frames; 1 is none, and free.
      guidance_rescale, guidance_interval: see `guidance.guided`.
      seed: of the first clip; clip i uses seed + i, whatever else is in the batch.
      solver: "euler", "heun" (evaluates twice per step) or "multistep".
      num_videos_per_prompt: the clips of a prompt follow one another.
    """

    prompt: Any
    negative_prompt: str = ""
    image: Any = None
    last_image: Any = None
    video: Any = None
    extend: str = "forward"
    frames: Any = None
    size: str | None = None
    ratio: str | None = None
    height: int | None = None
    width: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    gravity: float | None = None
    camera: Any = None
    states: Any = None
    num_inference_steps: int = 30
    guidance_scale: float | None = None
    image_guidance_scale: float = 1.0
    guidance_rescale: float = 0.0
    guidance_interval: tuple = guidance.ALWAYS
    seed: int = 0
    solver: str = "euler"
    num_videos_per_prompt: int = 1


class Plan(NamedTuple):
    """A checked request for N clips.

    Attributes:
      text, negative: the fields of `Condition` that hold captions, and negative ones in their
        places, each [N, S].
      shared: its fields that both have: frame_shot int32 [N, T], fps float32 [N], and what else
        the model knows, see `conditions.known_truth`.
      given: {pixel frame: image} of each clip.
      seeds: uint32 [N].
      shape: of the latents of a clip, (T, h, w, C).
      weights, rescale, interval: see `guidance.guided`.
      solver, num_steps: see `solvers.SOLVERS`.
      settings: a dict per clip that says all of this by the names of a Request.
    """

    text: dict
    negative: dict
    shared: dict
    given: list
    seeds: Any
    shape: tuple
    weights: dict
    rescale: float
    interval: tuple
    solver: str
    num_steps: int
    settings: list


def make_plan(request: Request, pipeline: Any) -> Plan:
    """Checks a Request without computing anything.

    Raises:
      ValueError: any value is out of range; the message names the value and the legal ones.
    """
    request = complete(request, pipeline.metadata)
    check_sampler(request)
    if request.extend != "forward" and request.video is None:
        raise ValueError(f"extend={request.extend!r} without a video to extend")
    prompts, fps = request.prompt, frame_rate(request, pipeline)
    scripts = [parse_prompt(prompt) for prompt in prompts]
    metadata = {**pipeline.metadata, "fps": fps}
    clip = clip_size(request, scripts, metadata)
    if clip[0] == 1 and fps != pipeline.metadata["fps"]:
        raise ValueError(f"fps={fps:g} does nothing with num_frames=1: an image has no frame rate")
    lengths = [shot_lengths(script, clip[0], fps) for script in scripts]
    rows = given_rows(request, len(prompts))
    given = [collect(clip, extend=request.extend, **row) for row in rows]
    check_seeds(request)
    if request.image_guidance_scale != 1 and not any(given):
        scale = request.image_guidance_scale
        raise ValueError(f"image_guidance_scale={scale} without a given frame; leave it at 1")
    order = np.repeat(np.arange(len(prompts)), request.num_videos_per_prompt)
    shared = shared_settings(request, clip, metadata)
    own = [describe(*row) for row in zip(prompts, scripts, lengths, given, strict=True)]
    text, negative = context.encode_texts(scripts, request.negative_prompt, order, pipeline)
    truth = known_truth(request, pipeline, pipeline.autoencoder.latent_shape(*clip)[0])
    return Plan(
        text=text,
        negative=negative,
        shared={
            "frame_shot": np.stack([latent_shots(lengths[row]) for row in order]),
            "fps": np.repeat(np.float32(fps if clip[0] > 1 else np.nan), len(order)),
            **{name: np.stack([value] * len(order)) for name, value in truth.items()},
        },
        given=[given[row] for row in order],
        seeds=request.seed + np.arange(len(order), dtype=np.uint32),
        shape=pipeline.autoencoder.latent_shape(*clip),
        weights=guidance.guidance_weights(
            float(request.guidance_scale), float(request.image_guidance_scale)
        ),
        rescale=float(request.guidance_rescale),
        interval=tuple(map(float, request.guidance_interval)),
        solver=request.solver,
        num_steps=request.num_inference_steps,
        settings=[{**own[row], "seed": request.seed + i, **shared} for i, row in enumerate(order)],
    )


def complete(request: Request, metadata: Mapping[str, Any]) -> Request:
    """The request with a list of prompts, and the guidance scale that is right for the model."""
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    scale = request.guidance_scale
    if scale is None:
        scale = 1.0 if metadata.get("guidance_distilled") else 4.0
    if not prompts:
        raise ValueError("prompt is an empty list; give one or more")
    return dataclasses.replace(request, prompt=prompts, guidance_scale=scale)


def check_sampler(request: Request) -> None:
    """Raises ValueError unless the settings that are plain values are legal."""
    for name, least, most in (
        ("num_inference_steps", 1, 1000),
        ("num_videos_per_prompt", 1, 1000),
        ("seed", 0, MAX_SEED),
        *((name, 1, 2**31 - 1) for name in SIZE if getattr(request, name) is not None),
    ):
        value = getattr(request, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(f"{name}={value!r}: must be an integer")
        if not least <= value <= most:
            legal = STEPS[name] if name in SIZE and value < least else f"from {least} to {most}"
            raise ValueError(f"{name}={value}: must be {legal}")
    most = {"guidance_scale": math.inf, "image_guidance_scale": math.inf, "guidance_rescale": 1.0}
    for name, limit in most.items():
        value = getattr(request, name)
        if not is_number(value) or not 0 <= value <= limit:
            above = "" if limit == math.inf else f" and at most {limit:g}"
            raise ValueError(f"{name}={value!r}: must be a number >= 0{above}")
    interval = request.guidance_interval
    pair = isinstance(interval, tuple | list) and len(interval) == 2
    if not (pair and all(map(is_number, interval)) and 0 <= interval[0] < interval[1] <= 1):
        raise ValueError(
            f"guidance_interval={interval!r}: must be (low, high), from 0 to 1 and low below high"
        )
    if request.solver not in solvers.SOLVERS:
        raise ValueError(f"solver={request.solver!r}; legal solvers: {sorted(solvers.SOLVERS)}")
    if not isinstance(request.negative_prompt, str):
        raise ValueError(f"negative_prompt={request.negative_prompt!r} is not text")


def check_seeds(request: Request) -> None:
    """Raises ValueError unless the last clip, too, has a legal seed."""
    last = request.seed + len(request.prompt) * request.num_videos_per_prompt - 1
    if last > MAX_SEED:
        raise ValueError(f"seed={request.seed}: that of the last clip, {last}, is above {MAX_SEED}")


def clip_size(
    request: Request, scripts: Sequence[Any], metadata: Mapping[str, Any]
) -> tuple[int, int, int]:
    """(num_frames, height, width) of all clips; what the request leaves out is as in training.

    Raises ValueError for prompts of several lengths, or a clip that is too large for any device.
    """
    height, width = resolve_size(request.size, request.ratio, request.height, request.width)
    num_frames = request.num_frames
    if num_frames is None:
        timed = [shot_lengths(s, None, metadata["fps"]) for s in scripts if s.durations]
        totals = sorted({sum(lengths) for lengths in timed})
        if len(totals) > 1:
            raise ValueError(f"the prompts' shots last {totals} frames; clips of a batch are equal")
        num_frames = totals[0] if totals else None
    wanted = zip((num_frames, height, width), metadata["buckets"][0], strict=True)
    clip = tuple(int(usual if value is None else value) for value, usual in wanted)
    if math.prod(clip) > MAX_PIXELS:
        named = ", ".join(f"{name}={value}" for name, value in zip(SIZE, clip, strict=True))
        raise ValueError(
            f"{named} are {math.prod(clip)} pixels; a clip has at most {MAX_PIXELS} in all frames"
        )
    return clip


def given_rows(request: Request, count: int) -> list[dict[str, Any]]:
    """What is given of each clip: {argument: value} for each of `count` prompts."""
    rows = [{} for _ in range(count)]
    for name in GIVEN:
        value = getattr(request, name)
        values = value if isinstance(value, list) else [value] * (1 if value is not None else count)
        if len(values) != count:
            raise ValueError(f"{len(values)} {name} for {count} prompts; give one each, or None")
        for row, own in zip(rows, values, strict=True):
            row[name] = own
    return rows


def describe(
    prompt: Any, script: Any, lengths: Sequence[int], given: Mapping[int, np.ndarray]
) -> dict[str, Any]:
    """The settings that are a clip's own."""
    settings = {"prompt": prompt, "given_frames": sorted(map(int, given))}
    if len(lengths) > 1:
        common = {"global": script.captions[GLOBAL]} if GLOBAL in script.captions else {}
        shots = [
            {"prompt": script.captions[number], "num_frames": length}
            for number, length in enumerate(lengths)
        ]
        settings |= {**common, "shots": shots}
    return settings


def shared_settings(
    request: Request, clip: Sequence[int], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that all clips have in common."""
    names = (
        "negative_prompt num_inference_steps guidance_scale image_guidance_scale guidance_rescale "
        "solver"
    ).split()
    return {
        **dict(zip(SIZE, clip, strict=True)),
        "fps": metadata["fps"],
        **truth_settings(request),
        **{name: getattr(request, name) for name in names},
        "guidance_interval": list(request.guidance_interval),
        **({"extend": request.extend} if request.video is not None else {}),
        **{name: metadata.get(name) for name in ("vae_run", "decoder")},
        "trained_size": not size_note(clip, metadata),
    }
