"""Writes scenes of the world at graded severities of corruptions, with wrong captions of each.

A scene is the true clip, then for each of several corruptions that apply to it one clip for each
severity, rising. Rows are clips; `scenes.json` beside them says which rows are which scene's, of
what they are wrong, and how its caption can be wrong; `captions_SPLIT.txt` are prompts for
`sample`. A build that was killed goes on where it was.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

from seedance_jax.data import schema
from seedance_jax.data.builders import parts, storage
from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.preferences.dimensions import (
    TRAINING,
    TURNS,
    WORSE,
    check_corruptions,
)
from seedance_jax.data.remote import Place, place
from seedance_jax.data.video import encode_mp4
from seedance_jax.data.world.spec import CODEC, WorldSpec
from seedance_jax.data.world.vocabulary import SPLITS

NAME = "world_pairs"
VERSION = 1  # raise it when the same spec would make other clips or captions


@dataclasses.dataclass(frozen=True)
class PairSpec:
    """What to build.

    Attributes:
      world: the form of the clips; scenes have no flaws of their own.
      splits: {split: scenes to try}; those of two shots are left out.
      severities: rising, of (0, 1]; 0, the true clip, is always there.
      corruptions: of each scene, at most, of the axes of `dimensions.TURNS` in turn.
      edits: wrong captions of each scene, at most: half of them hard, so it is even.
      kinds: of corruptions, () for all that training may have.

    Raises:
      ValueError: what is wrong with it, with what is legal.
    """

    world: WorldSpec
    splits: Mapping[str, int]
    severities: tuple[float, ...] = (0.25, 0.5, 1.0)
    corruptions: int = 4
    edits: int = 4
    kinds: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "world", dataclasses.replace(self.world, flawed=0.0))
        if unknown := self.splits.keys() - {*SPLITS}:
            raise ValueError(f"splits {sorted(unknown)} are not of {list(SPLITS)}")
        if not self.splits or min(self.splits.values()) < 1:
            raise ValueError(f"every split needs one scene or more, got {dict(self.splits)}")
        if list(self.severities) != sorted({*self.severities}) or not all(
            0 < severity <= 1 for severity in self.severities
        ):
            raise ValueError(f"severities={self.severities} do not rise within (0, 1]")
        if self.corruptions < 0 or self.edits < 0 or self.edits % 2:
            raise ValueError(
                f"corruptions={self.corruptions} and edits={self.edits} must be 0 or more, edits "
                "even: half of them are hard"
            )
        if self.edits and self.world.allowed.long:
            raise ValueError("captions of slice 'long' cannot be made wrong: set edits=0")
        check_corruptions(self.kinds, training="train" in self.splits)

    def as_dict(self) -> dict[str, Any]:
        """What names a data set."""
        told = dataclasses.asdict(self) | {"world": self.world.as_dict()}
        return told | {"version": VERSION, "of_world": self.world.version, "codec": CODEC}


def pairs_directory(data_dir: str | Place, spec: PairSpec) -> Place:
    """Where `build_pairs` writes."""
    return storage.dataset_directory(data_dir, NAME, spec.as_dict())


def build_pairs(data_dir: str | Place, spec: PairSpec, num_processes: int = 1) -> Place:
    """Makes the scenes of a spec and returns their directory; a finished one is left as it is.

    The bytes do not depend on num_processes. Raises ValueError if no scene of a split can be used.
    """
    directory = pairs_directory(data_dir, spec)
    with storage.writing(directory) as draft:
        if draft is not None:
            done = parts.directory_of(directory)
            done.mkdir(exist_ok=True)
            _write(draft, done, spec, num_processes)
    parts.remove(parts.directory_of(directory))
    return directory


def _write(draft: Place, done: Place, spec: PairSpec, num_processes: int) -> None:
    scenes = {split: [] for split in spec.splits}
    with contextlib.ExitStack() as stack:

        def records(split: str) -> Iterator[dict[str, Any]]:
            jobs = ((split, index) for index in range(spec.splits[split]))
            work = functools.partial(make_once, spec=spec, done=done)
            made = ordered_map(work, jobs, num_processes)
            stack.enter_context(contextlib.closing(made))
            for scene, part in tqdm(made, f"pairs {split}", spec.splits[split], unit="scene"):
                if scene:
                    scenes[split].append(scene)
                    yield from parts.read(part)

        rows = storage.write_records(
            draft,
            NAME,
            schema.GRADED_CLIP,
            {split: functools.partial(records, split) for split in spec.splits},
        )
    left_out = {split: spec.splits[split] - len(scenes[split]) for split in scenes}
    storage.write_json(draft / "scenes.json", scenes)
    for split, own in scenes.items():
        captions = dict.fromkeys(scene["caption"] for scene in own)
        (draft / f"captions_{split}.txt").write_text("".join(f"{text}\n" for text in captions))
    storage.write_json(draft / "report.json", {"rows": rows, "left_out": left_out, "lost": []})
    storage.write_json(draft / "spec.json", spec.as_dict())


def make_once(job: tuple[str, int], spec: PairSpec, done: Place) -> tuple[dict[str, Any], Place]:
    """(what is told of a scene, the part that has its records), done before or now."""
    part = place(done) / f"{job[0]}_{job[1]:08d}.npz"
    if (scene := parts.read_summary(part)) is not None:
        return scene, part
    scene, records = make_scene(*job, spec)
    parts.write(part, scene, records)
    return scene, part


def make_scene(split: str, index: int, spec: PairSpec) -> tuple[dict[str, Any], list]:
    """(what `scenes.json` has of a scene, its records); empty if it has two shots."""
    from seedance_jax.data.world import grading  # which starts the simulator

    kinds = spec.kinds or TRAINING
    by_axis = [[kind for kind in WORSE[axis] if kind in kinds] for axis in TURNS]
    wanted = grading.Wanted(by_axis, spec.severities, spec.corruptions, spec.edits)
    graded = grading.grade(split, index, spec.world, wanted)
    if graded is None:
        return {}, []
    scene = {
        "index": index,
        "caption": graded.about["caption"],
        "event": graded.scene["event"],
        "variants": [[variant.corruption, variant.severity] for variant in graded.variants],
        "edits": [edit._asdict() for edit in graded.edits],
    }
    return scene, [_record(graded.about, variant, spec.world) for variant in graded.variants]


def _record(about: Mapping[str, Any], variant: Any, world: WorldSpec) -> dict[str, Any]:
    kind, severity, frames = variant
    return {
        **about,
        "id": f"{about['id']}/{kind}/{severity:g}" if kind else about["id"],
        "video": encode_mp4(frames, world.fps, **CODEC),
        "corruption": kind,
        "severity": float(severity),
    }
