"""Pairs with clips that a model made: folders that `sample` or `evaluate` wrote.

What made a clip stands in its sidecar. Clips of two folders belong together by prompt and seed.
"""

from collections.abc import Iterator, Mapping, Sequence

from seedance_jax.data.preferences.compared_clips import ClipFile, Clips, check_sizes, open_files
from seedance_jax.data.preferences.comparisons import UNKNOWN, Found, Pair, numbered, stored
from seedance_jax.data.preferences.dimensions import check_axes
from seedance_jax.data.preferences.graded_pairs import Scenes, wrong_caption
from seedance_jax.data.preferences.pairs import Clip, match, read_folder

QUALITY = ("prompt_following", "motion_quality", "aesthetic_quality")


def true_render_pairs(scenes: Scenes, folder: str, dimensions: Sequence[str] = QUALITY) -> Found:
    """The true clip of a scene is better than what a model made of its caption.

    Raises ValueError if no sample has a caption of the scenes, or one is of another size.
    """
    axes, (found, notes) = check_axes(dimensions, folder), _of_scenes(scenes, folder)
    files = open_files([str(clip.path) for clip, _ in found])
    check_sizes(list(zip(files, (_true(scenes, scene) for _, scene in found), strict=True)))
    pairs = [
        Pair((len(files) + scene["row"], n), (n, n), 1.0, (1.0, UNKNOWN), axis, "true_render")
        for n, (_, scene) in enumerate(found)
        for axis in axes
    ]
    prompts = [scene["caption"] for _, scene in found]
    return Found(stored(pairs), Clips(files, scenes.rows), prompts, notes, folder)


def edited_prompt_pairs(scenes: Scenes, folder: str) -> Found:
    """A sample follows the caption that it was made from better than one that is wrong about it."""
    found, notes = _of_scenes(scenes, folder)
    files = open_files([str(clip.path) for clip, _ in found])
    pairs, prompts = [], []
    for number, (_, scene) in enumerate(found):
        for edit in scene["edits"]:
            pairs.append(wrong_caption(number, len(prompts), edit, UNKNOWN))
            prompts += [edit["true"], edit["caption"]]
    return Found(stored(pairs), Clips(files), prompts, notes, folder)


def _of_scenes(scenes: Scenes, folder: str) -> tuple[list[tuple[Clip, Mapping]], list[str]]:
    """([(sample, its scene)], notes) of the samples of a folder."""
    known, clips = scenes.captions, list(read_folder(folder).values())
    found = [(clip, known[clip.settings["prompt"]]) for clip in clips
             if clip.settings["prompt"] in known]  # fmt: skip
    if not found:
        raise ValueError(
            f"none of the {len(clips)} samples of {folder} has a caption of these scenes as its "
            "prompt; sample from captions_train.txt beside them"
        )
    rest = len(clips) - len(found)
    return found, [f"{folder}: {rest} samples are not of captions of these scenes"] * bool(rest)


def _true(scenes: Scenes, scene: Mapping) -> ClipFile:
    table, row = scenes.rows.table, scene["row"]
    shape = (int(table[name][row]) for name in ("num_frames", "height", "width"))
    return ClipFile(f"the true clip of scene {scene['index']}", *shape)


def more_steps_pairs(folders: Sequence[str], dimensions: Sequence[str] = QUALITY) -> Found:
    """Of two samples of one prompt and seed that of more steps is better.

    Raises ValueError for pairs of as many steps.
    """
    return _of_folders(folders, "more_steps", _steps, dimensions)


def more_given_pairs(folders: Sequence[str], dimensions: Sequence[str] = QUALITY) -> Found:
    """Of two continuations of a clip (one prompt and seed) that from more given frames is better.

    Raises ValueError for pairs of as many given frames.
    """
    return _of_folders(folders, "more_given", _given, dimensions)


def _steps(clip: Clip) -> int:
    if "num_inference_steps" not in clip.settings:
        raise ValueError(f"{clip.path}: its sidecar has no num_inference_steps")
    return clip.settings["num_inference_steps"]


def _given(clip: Clip) -> int:
    return len(clip.settings["given_frames"])


def _of_folders(folders, kind, amount, dimensions) -> Found:
    (one, first), (other, second) = ((folder, read_folder(folder)) for folder in _two(folders))
    axes, notes = check_axes(dimensions, one), []
    better = list(_ordered(match(one, first, other, second, notes), kind, amount))
    paths, number = numbered([str(clip.path) for pair in better for clip in pair])
    prompts, prompt = numbered([pair[0].settings["prompt"] for pair in better])
    files = open_files(paths)
    numbers = [tuple(number(str(clip.path)) for clip in pair) for pair in better]
    check_sizes([(files[one], files[other]) for one, other in numbers])
    pairs = [
        Pair(both, (prompt(clips[0].settings["prompt"]),) * 2, 1.0, (UNKNOWN,) * 2, axis, kind)
        for clips, both in zip(better, numbers, strict=True)
        for axis in axes
    ]
    return Found(stored(pairs), Clips(files), prompts, notes, one)


def _two(folders: Sequence[str]) -> Sequence[str]:
    if isinstance(folders, str) or len(set(folders)) != 2:
        raise ValueError(f"folders={folders!r} must be two folders of samples")
    return folders


def _ordered(pairs, kind, amount) -> Iterator[tuple[Clip, Clip]]:
    """Each pair with the clip of the larger amount first."""
    for one, other in pairs:
        if amount(one) == amount(other):
            raise ValueError(
                f"{one.path} and {other.path} do not differ: {kind.replace('_', ' ')} is asked "
                f"for, and both have {amount(one)}"
            )
        yield (one, other) if amount(one) > amount(other) else (other, one)
