"""Files of a request: the images and clips that it gives, and the clips that come of it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seedance_jax.data import images
from seedance_jax.data.listing import VIDEO_SUFFIXES, is_video
from seedance_jax.data.schema import FRAME_STRIDE
from seedance_jax.pretrained.runs import Run
from seedance_jax.sampling import given, media
from seedance_jax.sampling.nonfinite import NonFiniteClip
from seedance_jax.sampling.prompt_files import PATHS, parse_frames
from seedance_jax.training import cluster, places
from seedance_jax.training.finiteness import NonFiniteError
from seedance_jax.training.places import Place

ANIMATIONS = (".gif", ".apng")


def load_given(request: Mapping[str, Any], pipeline: Any) -> tuple[dict, dict]:
    """Reads the files that a request names: (arguments of the pipeline, notes for the sidecar).

    Clips are cut to a length that they may have there. The notes say under "files" what was changed
    of each, by path.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a file or a setting is not what the request may have there.
    """
    request = dict(request)
    if "guidance_interval" in request:
        request["guidance_interval"] = parse_interval(request["guidance_interval"])
    paths = {name: request.pop(name) for name in PATHS if name in request}
    frames = parse_frames(request.pop("frames")) if "frames" in request else {}
    # Nothing is given yet, so what is said of given frames must wait.
    clip = pipeline.prepare(**request | {"extend": "forward", "image_guidance_scale": 1.0})
    clip = clip.settings[0]
    arrays, notes = {}, {}
    for name, path in [*paths.items(), *((f"frames {i}", path) for i, path in frames.items())]:
        extend = request.get("extend", "forward")
        check_kind(name, path)
        if name == "video":
            check_room(path, extend, clip["num_frames"])
        pixels, changes = load_file(name, path, clip, clip["fps"])
        if is_clip(name, path):
            pixels, cuts = cut_clip(name, pixels, extend)
            changes = changes + cuts
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        arrays[name] = pixels
        notes[name] = {"path": path, "sha256": digest, "changes": changes}
    request |= {name: arrays[name] for name in paths}
    if frames:
        request["frames"] = {index: arrays[f"frames {index}"] for index in frames}
    # The flags that make the clip again, and what was behind them.
    sidecar = paths | ({"frames": json.dumps(frames)} if frames else {})
    return request, sidecar | ({"files": notes} if notes else {})


def load_file(
    name: str, path: str, clip: Mapping[str, int], fps: float
) -> tuple[np.ndarray, list[str]]:
    """(pixels uint8, what was changed) of the file of an argument, at the size of the clip."""
    size = (clip["height"], clip["width"])
    if is_clip(name, path):
        most = clip["num_frames"] + FRAME_STRIDE - 1  # what can be cut to fit
        return images.read_video(path, *size, fps, name, most=most)
    return images.read_image(path, *size, name)


def check_room(path: str, extend: str, num_frames: int) -> None:
    """ValueError where a clip to be extended has too many frames, if its header tells how many."""
    given.check_extend(extend)
    length = images.count_frames(path, "video") or 0
    if length >= num_frames + FRAME_STRIDE:
        length = given.legal_length(length, given.EXTENSIONS[extend])
        given.check_length(length, extend, num_frames)


def cut_clip(name: str, pixels: np.ndarray, extend: str) -> tuple[np.ndarray, list[str]]:
    """(clip of a length that it may have as the argument `name`, notes)."""
    if name == "video":
        return given.cut_to_extend(pixels, extend)
    return given.cut_to_place(pixels, int(name.removeprefix("frames ")))


def is_clip(name: str, path: str) -> bool:
    """Whether the file of an argument is read as a clip, by its name.

    Of an animation that is given as an image the first frame is read.
    """
    image = name in given.IMAGES and Path(path).suffix.lower() in ANIMATIONS
    return is_video(path) and not image


def check_kind(name: str, path: str) -> None:
    """Raises ValueError unless the name of a file is one of an image or a clip, as `name` wants."""
    if name in given.IMAGES and is_clip(name, path):
        raise ValueError(
            f"{name} {path!r} is a clip; give an image, or the clip as --video to extend it"
        )
    if name == "video" and not is_clip(name, path):
        raise ValueError(
            f"video {path!r} is not a clip, by its name: {' '.join(VIDEO_SUFFIXES)}; images are "
            "given as --image"
        )


def parse_interval(text: str) -> tuple[float, float]:
    """(low, high) of "low,high"."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"guidance_interval={text!r} must be two numbers, as in 0.2,0.9") from None
    return low, high


def describe_run(run: Run, lora: str = "", lora_scale: float = 1.0) -> dict[str, Any]:
    """What identifies the params of a run, with adapters if any: run, step, hash of the config."""
    digest = hashlib.sha256(json.dumps(run.config, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "workdir": str(run.path),
        "checkpoint_step": run.step,
        "config_hash": digest,
        **({"lora": lora, "lora_scale": lora_scale} if lora else {}),
    }


def write_clips(
    pipeline: Any,
    prepared: Iterable,
    directory: Place,
    origin: Mapping[str, Any],
    output_type: str = "mp4",
) -> Iterator[Place]:
    """Generates and writes clip after clip, numbered on from what the directory holds.

    Args:
      prepared: [preparation.Prepared].
      origin: goes to every sidecar, see `describe_run`.
      output_type: "mp4", or "np" (frames) and "latent" for arrays.

    Yields:
      The file of each clip; of several as mp4 then that of a sheet of them. Only process 0 writes.

    Raises:
      NonFiniteError: a clip is not finite; those before it are written.
    """
    rows, paths = [], []
    movie = output_type == "mp4"
    write = media.write_clip if movie else media.write_array
    for plan, notes, _ in prepared:
        try:
            clips, fault = pipeline.run(plan, output_type="np" if movie else output_type), None
        except NonFiniteClip as error:
            clips, fault = error.before, error
        for frames, settings in zip(clips, plan.settings, strict=fault is None):
            settings = {**settings, **notes, **origin}
            if cluster.is_main():
                paths.append(write(directory, frames, settings["fps"], settings))
                yield paths[-1]
            rows.append((settings["prompt"], frames))
        if fault:
            raise NonFiniteError(fault.named(len(rows)))
    if len(rows) > 1 and movie and cluster.is_main():
        sheet = directory / f"sheet_{paths[0].stem}-{paths[-1].stem}.png"
        with places.writing(sheet) as file:
            media.save_png(media.contact_sheet(rows), file)
        yield sheet
