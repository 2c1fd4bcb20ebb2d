"""Pairs of clips of the same prompt and seed, from folders that `seedance_jax sample` wrote."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from seedance_jax.data.images import read_image
from seedance_jax.data.rows import read_json
from seedance_jax.data.video import VideoReader

SHOWN = (".mp4", ".png")
EQUAL = ("height", "width", "num_frames", "fps", "given_frames")  # of the two clips of a pair
NEEDED = ("prompt", "seed", *EQUAL)  # of a sidecar


class Clip(NamedTuple):
    """A generated clip, or image.

    path: its file. sha256: of the file, 64 hex digits. settings: its JSON sidecar.
    """

    path: Path
    sha256: str
    settings: dict


class Given(NamedTuple):
    """An image that both clips were given.

    name: as in the sidecar: "image", "last_image", "frames 8". sha256: of its pixels as the model
    saw them, 16 hex digits. path: its file.
    """

    name: str
    sha256: str
    path: str


class Pair(NamedTuple):
    """Two clips of one prompt and seed, in the order of their folders.

    id: a hash of the two files, whatever their names and order.
    """

    id: str
    prompt: str
    seed: int
    clips: tuple[Clip, Clip]
    given: tuple[Given, ...]


def pair_folders(folders: Sequence[str | Path]) -> tuple[list[Pair], list[str]]:
    """(pairs, notes on what is left out) of two or more folders; of several, each with each.

    Raises:
      ValueError: less than two folders, or one of them twice; two clips of a folder that have the
        same prompt and seed; clips of a pair whose settings differ; no pair at all; or, as
        FileNotFoundError, no folder or no clip, see `read_folder`.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(set(paths)) < max(len(paths), 2):
        raise ValueError(f"give two or more folders of samples, each once; got {list(folders)}")
    contents = [read_folder(folder) for folder in folders]
    pairs, notes = [], []
    for (one, first), (other, second) in itertools.combinations(
        zip(folders, contents, strict=True), 2
    ):
        made = [make_pair(*clips, notes) for clips in match(one, first, other, second, notes)]
        pairs += [pair for pair in made if pair]
    if not pairs:
        raise ValueError(f"nothing to compare in {list(folders)}: all pairs are of equal files")
    return pairs, notes


def match(
    one: str | Path, first: Mapping, other: str | Path, second: Mapping, notes: list[str]
) -> list[tuple[Clip, Clip]]:
    """The clips of the same prompt and seed of two folders, `one` and `other`, of `read_folder`;
    notes tell of those without a partner. ValueError if none has one."""
    shared = [key for key in first if key in second]
    if not shared:
        raise ValueError(f"{one} and {other} have no clips of the same prompt and seed")
    for folder, alone in ((one, first.keys() - second), (other, second.keys() - first)):
        if alone:
            prompt, seed = min(alone)
            where = other if folder == one else one
            notes.append(
                f"{folder}: {len(alone)} of its clips have no partner in {where}, as "
                f"{prompt!r} with seed {seed}"
            )
    return [(first[key], second[key]) for key in shared]


def read_folder(folder: str | Path) -> dict[tuple[str, int], Clip]:
    """{(prompt, seed): Clip} of a folder; JSON files that are no sidecars are passed over."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{str(folder)!r} is not a folder of samples")
    clips = {}
    for sidecar in sorted(folder.glob("[!.]*.json")):
        clip = read_clip(sidecar)
        if clip is None:
            continue
        key = (clip.settings["prompt"], clip.settings["seed"])
        if key in clips:
            raise ValueError(
                f"{clips[key].path} and {clip.path} have the same prompt and seed={key[1]}; which "
                "of them is meant?"
            )
        clips[key] = clip
    if not clips:
        raise FileNotFoundError(f"{str(folder)!r} has no clips of `seedance_jax sample`")
    return clips


def read_clip(sidecar: Path) -> Clip | None:
    """The Clip of a sidecar; None if the JSON names no file, and so is of something else.

    Raises ValueError if JSON or clip cannot be read, if it lacks one of `NEEDED`, or if the clip is
    another than it tells of.
    """
    settings = read_json(sidecar)
    if not isinstance(settings, dict) or "file" not in settings:
        return None
    if missing := [name for name in NEEDED if name not in settings]:
        raise ValueError(f"{sidecar}, of {settings['file']}, has no {', '.join(missing)}")
    path = sidecar.parent / Path(settings["file"]).name
    if path.suffix not in SHOWN:
        raise ValueError(f"{path} cannot be shown; sample with --output_type=mp4")
    if not path.is_file():
        raise FileNotFoundError(f"{path}, of {sidecar.name}, does not exist")
    width, height = size_of(path)
    if (height, width) != (settings["height"], settings["width"]):
        raise ValueError(
            f"{path} is {width}x{height}; {sidecar.name} says "
            f"{settings['width']}x{settings['height']}"
        )
    return Clip(path, hashlib.sha256(path.read_bytes()).hexdigest(), settings)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of a clip or an image; raises ValueError if it cannot be read."""
    try:
        if path.suffix == ".mp4":
            with VideoReader(path) as reader:
                height, width, _ = reader.show(next(reader.frames())).shape
                return width, height
        with Image.open(path) as image:
            return image.size
    except (ValueError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def make_pair(first: Clip, second: Clip, notes: list[str]) -> Pair | None:
    """The Pair of two clips; None, and a note, if their files are equal.

    Raises ValueError, with both values, if the clips were not made to be the same.
    """
    one, other = first.settings, second.settings
    for name in EQUAL:
        if one[name] != other[name]:
            raise ValueError(
                f"{first.path} has {name}={one[name]}, {second.path} has {name}={other[name]}: "
                "only clips that were asked to be alike can be compared"
            )
    files = [settings.get("files", {}) for settings in (one, other)]
    digests = [{name: file["sha256"] for name, file in given.items()} for given in files]
    if digests[0] != digests[1]:
        raise ValueError(
            f"{first.path} was given {digests[0]}, {second.path} was given {digests[1]}: other "
            "images or clips"
        )
    if first.sha256 == second.sha256:
        notes.append(f"{first.path} and {second.path} are equal; left out")
        return None
    digest = hashlib.sha256("\n".join(sorted((first.sha256, second.sha256))).encode()).hexdigest()
    given = find_given(files[0], one["height"], one["width"], notes)
    return Pair(digest[:16], one["prompt"], one["seed"], (first, second), given)


def find_given(
    files: Mapping[str, Any], height: int, width: int, notes: list[str]
) -> tuple[Given, ...]:
    """The images of a sidecar's files that are there unchanged; notes tell of the others."""
    found = []
    for name, file in files.items():
        image = Given(name, file["sha256"], file["path"])
        try:
            read_given(image, height, width)
        except OSError:  # it has moved or changed, or is a clip
            notes.append(
                f"{name} {file['path']} is not the image that was given: its preservation is not "
                "asked for"
            )
        else:
            found.append(image)
    return tuple(found)


def read_given(image: Given, height: int, width: int) -> np.ndarray:
    """Pixels uint8 [H, W, 3] of a Given; OSError unless they are there as the model saw them."""
    try:
        pixels, _ = read_image(image.path, height, width)
    except ValueError as error:
        raise OSError(str(error)) from error
    if hashlib.sha256(pixels.tobytes()).hexdigest()[:16] != image.sha256:
        raise OSError(f"{image.path} is not the image that was given: it has changed since")
    return pixels
