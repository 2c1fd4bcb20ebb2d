"""Which runs a run was made from: written when it starts, drawn by `describe --lineage`.

metadata.json of a finished run has "weights", a hash of its own, and "parents", {role: {"run",
"step", "weights"}}, a list of those where several have one role. Roles are the config's fields that
name runs (`init_from`, `vae_run`), and "merged". Until it is finished, parents are in parents.json.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from seedance_jax.pretrained import runs
from seedance_jax.training import places, run_directory
from seedance_jax.training.places import Place, place

ROLES = ("init_from", "vae_run", "lora.base_run")  # fields of configs
FILE = "parents.json"
UNKNOWN = "unknown"  # weights of older runs


def weights_hash(params: Any) -> str:
    """Hash (16 hex digits) of a weight tree, of the checksums of its arrays: the same on any
    mesh, and no host need hold them."""
    from seedance_jax.training.checksums import checksums  # who samples needs no Orbax

    sums = json.dumps(checksums(params), sort_keys=True)
    return hashlib.sha256(sums.encode()).hexdigest()[:16]


def parent(run: runs.Run) -> dict[str, Any]:
    """How a run is named by those that are made from it."""
    weights = run.metadata.get("weights", UNKNOWN)
    return {"run": str(places.absolute(run.path)), "step": run.step, "weights": weights}


def parents_of(config: ConfigDict) -> dict[str, Any]:
    """{role: `parent`} of the runs that a config names."""
    named = run_directory.flatten(config.to_dict())
    opened = {role: named[role] for role in ROLES if named.get(role)}
    return {role: parent(runs.open_run(path, flag=role)) for role, path in opened.items()}


def write_parents(workdir: Place, config: ConfigDict) -> None:
    """Notes the parents of a run that starts."""
    run_directory.write_json(workdir, FILE, parents_of(config))


def read_parents(workdir: Place) -> dict[str, Any]:
    """What `write_parents` noted; {} of older runs."""
    return _read(workdir, FILE)


def common_parent(opened: Sequence[runs.Run]) -> dict[str, Any]:
    """The run that all of some were trained from (`init_from`).

    Raises ValueError, with the parent of each, if there is no such run.
    """
    found = [run.metadata.get("parents", {}).get("init_from") for run in opened]
    known = [one for one in found if one and one["weights"] != UNKNOWN]
    if len(known) < len(found) or len({one["weights"] for one in known}) > 1:
        named = (one and f"{one['run']} ({one['weights']})" for one in found)
        pairs = zip(opened, named, strict=True)
        lines = "".join(f"\n  {run.path}: {name or 'nothing'}" for run, name in pairs)
        raise ValueError(f"these runs did not start from the same weights:{lines}")
    return found[0]


def draw(workdir: str | Place) -> Iterator[str]:
    """Lines of the tree of the runs that a run was made from, itself first; of each run once."""
    path = place(workdir)
    yield _describe(path, None)
    yield from _branches(path, "", {places.absolute(path)})


def _branches(path, indent, drawn):
    parents = _read(path, "metadata.json").get("parents", {})
    entries = [
        (role, one)
        for role, named in parents.items()
        for one in (named if isinstance(named, list) else [named])
    ]
    for number, (role, one) in enumerate(entries, start=1):
        last = number == len(entries)
        below = places.absolute(places.join(path, one["run"]))  # of a release, in it
        known = below in drawn
        told = f"{below}, as above" if known else _describe(below, one)
        yield f"{indent}{'└─' if last else '├─'} {role}: {told}"
        if not known:
            drawn.add(below)
            yield from _branches(below, indent + ("   " if last else "│  "), drawn)


def _describe(path: Place, named: Mapping[str, Any] | None) -> str:
    """One line on a run; named: as one that was made from it names it."""
    config, metadata = (_read(path, f"{name}.json") for name in ("config", "metadata"))
    if not metadata:
        return f"{path} is not there; it was weights {named['weights']}, step {named['step']}"
    found = metadata.get("weights", UNKNOWN)
    makes = run_directory.MAKES[metadata.get("makes") or runs.what_it_makes(config)]
    stage = config.get("name", config.get("stage"))
    line = f"{path}: {stage}, {makes}, step {metadata['step']}, weights {found}"
    judged = "".join(f"; {text}" for text in _judged(path, metadata["step"]))
    changed = named is not None and found != named["weights"]
    return line + judged + (f"; it was {named['weights']} then" if changed else "")


def _judged(path, step):
    """What judges said of a run at a step: a line for each suite it was run on then."""
    for folder in sorted(path.glob(f"suite_*/{step:08d}")):
        if found := _read(folder, "report.json"):
            yield f"{found['suite']}: {found['passed'][0]:.2f} of {found['clips']} clips pass"


def _read(path, name):
    return run_directory.read_json(path, name) if (path / name).exists() else {}
