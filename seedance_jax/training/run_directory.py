"""The files of a run directory that are not arrays, what names a run's weights, and its steps.

A run directory is `config.json`, `metadata.json` (once finished), `identity.json`, `metrics.jsonl`,
`checkpoints/<step>/`, `pinned.json`, which names checkpoints that are kept, and what says how the
training goes on (`training/heartbeat.py`). Or it is a release (`training/release.py`).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from seedance_jax import sharding
from seedance_jax.training import cluster, places, release
from seedance_jax.training.places import Place, place

# The finished models that a generator reads and writes the language of.
SHARED = ("autoencoder", "text")
PINS = "pinned.json"
COMMITTED = "commit_success.txt"  # in a bucket, the last that Orbax writes of a checkpoint
BEST = "best"  # name of the checkpoint that a run stands for, where something chose among them
# Fields of sections that configs of older runs lack, each with the value that it stood for.
LACKED = {
    "optimizer": {"decay_to": 0.0},
    "model": {"conditions": ()},
    "text": {"mode": "joint", "path": "", "tokenizer": "bytes", "layers": (-1,)},
    "data": {"filter": "", "reviews": "", "clips_per_row": 1},
}
# The same of fields beside others: {field: (one that is as old as its stage, value)}.
LACKED_BESIDE = {
    "motion_captions": ("caption_dropout", 0.0),
    "reference_tokens": ("caption_dropout", 256),
    "random_scale": ("freeze_encoder", False),
}
# Fields of models that say how one is run, or where a part of it lies, and not what it computes.
HOW = ("remat", "dtype", "kernel", "path")
# What a run may make, in words.
MAKES = {
    "generator": "a generator",
    "refiner": "a refiner",
    "motion": "a motion model",
    "autoencoder": "an autoencoder",
    "reward": "a reward",
    "adapters": "adapters",
}


def check_makes(makes: str, field: str = "makes") -> str:
    """`makes`; ValueError unless it is one of MAKES. field: the field that says it."""
    if makes not in MAKES:
        raise ValueError(f"{field}={makes!r}; legal are {sorted(MAKES)}")
    return makes


def check_new(flag: str, directory: Place) -> None:
    """Raises ValueError unless a directory is empty or not there. flag: the one that names it."""
    if directory.exists() and any(directory.iterdir()):
        raise ValueError(f"{directory} is not empty; use another {flag}")


def read_json(workdir: str | Place, name: str) -> Any:
    """A JSON file of a run, `config.json` or `metadata.json`.

    Raises:
      FileNotFoundError: `workdir` has no such file.
      ValueError: it is not JSON.
    """
    path = place(workdir) / name
    if not path.is_file():
        what = "is not a run" if name == "config.json" else "is not a finished run"
        raise FileNotFoundError(f"{workdir} {what}: it has no {name}")
    release.check_fetched(path)
    try:  # with a mark, if it was edited
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def write_json(workdir: str | Place, name: str, value: Any) -> None:
    """Writes a JSON file of a run, whole or not at all."""
    places.write_whole(place(workdir) / name, json.dumps(value, indent=2) + "\n")


def read_lines(workdir: str | Place, name: str) -> list[Any]:
    """The records of a file of JSON lines, but one that is half written; [] if there is none.

    Raises ValueError for a line that is not JSON.
    """
    path = place(workdir) / name
    lines = path.read_text().splitlines() if path.exists() else []
    try:
        return [json.loads(line) for line in lines if line.endswith("}")]
    except ValueError as error:
        raise ValueError(f"{path} has a line that is not JSON: {error}") from error


def as_json(value: Any) -> Any:
    """The value that `read_json` would give back: tuples become lists."""
    return json.loads(json.dumps(value))


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config of a run (as JSON) with the fields that those of older runs lack."""
    lacked = {name: fields for name, fields in as_json(LACKED).items() if name in config}
    beside = {name: value for name, (old, value) in LACKED_BESIDE.items() if old in config}
    sections = {name: {**fields, **config[name]} for name, fields in lacked.items()}
    return {**beside, **config, **sections}


def of_weights(section: Any) -> Any:
    """A section of a config of a model without the fields `HOW`; other values as they are."""
    if not isinstance(section, Mapping):
        return section
    return {field: value for field, value in section.items() if field not in HOW}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries -> {dotted name: value}."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """One line for every field of two configs that differs; "" if they are equal."""
    found, wanted = flatten(found), flatten(wanted)
    return "".join(
        f"\n  {name}: {found.get(name)!r} -> {wanted.get(name)!r}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    )


def latest_step(workdir: str | Place) -> int | None:
    """Step of the newest finished checkpoint of a run, or None."""
    if release.exists(workdir):
        return release.step(workdir)
    return max(all_steps(workdir), default=None)


def all_steps(workdir: str | Place) -> list[int]:
    """Steps of the finished checkpoints of a run, rising."""
    path = place(workdir) / "checkpoints"
    found = [one for one in path.glob("*") if one.name.isdigit()] if path.is_dir() else []
    if places.in_bucket(path):  # which renames nothing when it is complete
        found = [one for one in found if (one / COMMITTED).exists()]
    return sorted(int(one.name) for one in found)


def pinned(workdir: str | Place) -> dict[str, int]:
    """{name: step} of the checkpoints that `Saver.pin` keeps."""
    steps = all_steps(workdir)  # a damaged one was moved aside
    return {name: step for name, step in read_pins(workdir).items() if step in steps}


def read_pins(workdir: str | Place) -> dict[str, int]:
    """{name: step} as `Saver.pin` wrote it, be those checkpoints there or not."""
    return read_json(workdir, PINS) if (place(workdir) / PINS).exists() else {}


def finished(workdir: str | Place) -> bool:
    """Whether what later stages need was written, for the newest checkpoint."""
    if not (place(workdir) / "metadata.json").exists():
        return False
    metadata = read_json(workdir, "metadata.json")
    return metadata.get("trained", metadata.get("step")) == latest_step(workdir)


def final_step(workdir: str | Place) -> int | None:
    """Step of the checkpoint that a run stands for: the newest, unless it is finished and BEST is
    another, which its metadata then have as "step", beside "trained", the newest."""
    newest = latest_step(workdir)
    there = (place(workdir) / "metadata.json").exists()
    metadata = read_json(workdir, "metadata.json") if there else {}
    return metadata["step"] if newest is not None and metadata.get("trained") == newest else newest


def find_step(workdir: str | Place, step: int | str | None = None) -> int:
    """The step of a checkpoint of a run: of its number, its name (see `Saver.pin`), or the final.

    Raises FileNotFoundError if there is none.
    """
    newest, names = latest_step(workdir), pinned(workdir)
    if newest is None:
        raise FileNotFoundError(f"no checkpoint in {places.absolute(workdir) / 'checkpoints'}")
    found = final_step(workdir) if step is None else names.get(step, step)
    steps = [newest] if release.exists(workdir) else all_steps(workdir)
    if found not in steps:
        raise FileNotFoundError(f"{workdir} has no checkpoint {found!r}, only {steps} and {names}")
    return found


def fingerprint(params: Any) -> str:
    """Hash (16 hex digits) of the names, shapes and values of a weight tree.

    Of arrays that lie on several hosts too: all of them must call it then.
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        array = np.asarray(sharding.fetch(leaf))
        digest.update(f"{jax.tree_util.keystr(path)}{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def check_identity(workdir: str | Place, identity: Mapping[str, Any]) -> None:
    """Writes identity.json, or, once there are checkpoints, raises ValueError if it differs.

    All processes must call it.
    """
    cluster.of_main(lambda: _check_identity(workdir, identity))


def _check_identity(workdir, identity):
    if latest_step(workdir) is None:
        place(workdir).mkdir(parents=True, exist_ok=True)
        write_json(workdir, "identity.json", identity)
    elif lines := differences(read_json(workdir, "identity.json"), as_json(identity)):
        raise ValueError(f"{workdir} was trained with other parts than those found now:{lines}")


def check_parts(init_from: str | Place, identity: Mapping[str, Any]) -> None:
    """Raises ValueError if a run was trained with another autoencoder or text model.

    Parts that either of the two does not name are not compared.
    """
    files = [
        name for name in ("metadata.json", "identity.json") if (place(init_from) / name).exists()
    ]
    found, wanted = read_json(init_from, files[0]) if files else {}, as_json(dict(identity))
    for part in SHARED:
        if part in found and part in wanted and found[part] != wanted[part]:
            raise ValueError(
                f"init_from={init_from} was trained with {part} {found[part]}, this run has "
                f"{wanted[part]}"
            )
