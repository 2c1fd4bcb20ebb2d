"""The table of the README: rows that are run in turns by this checkout, another one, diffusers."""

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from seedance_jax import sharding
from seedance_jax.performance.timed import dit_speed, reports, turns

HERE = Path(sharding.__file__).parents[1]  # this checkout
LENGTHS = {
    4096: ("forward", "forward+backward"),
    8192: ("forward", "forward+backward"),
    16384: ("forward",),
}
DIT = {"width": 512, "layers": 8, "text_tokens": 64}
CLIPS = [(17, 128, 128), (17, 256, 256)]
AUTOENCODER = {"width": 32, "decoder_width": 48, "chunk": 1}
WIDE = {"model.width": 256, "model.depth": 4, "accumulate": 1}
PARTS = WIDE | {"accumulate": 4}
SHORT = PARTS | {"model.dtype": "bfloat16", "text.dtype": "bfloat16"}
LARGE = (17, 128, 128)
# name: (subject, config, fields of it, clip, batch)
STEPS = {
    "training step, tiny": ("train", "pretrain:tiny", {}, (17, 64, 64), 16),
    "training step, width 256": ("train", "pretrain:tiny", WIDE, LARGE, 16),
    "training step, width 256, 4 parts": ("train", "pretrain:tiny", PARTS, LARGE, 16),
    "training step, width 256, 4 parts, bfloat16": ("train", "pretrain:tiny", SHORT, LARGE, 16),
    "training step, autoencoder": ("train_autoencoder", "vae:tiny", {}, (17, 64, 64), 2),
    "sampling step, tiny": ("sample", "pretrain:tiny", {}, (17, 64, 64), 1),
}
# What long jobs run besides, and of how many clips; {slice of the world: its clips}.
JOBS = {"world": 16, "encode": 64, "judge": 16}
WORLDS = {"tiny": (17, 64, 64), "plain": (25, 128, 128)}


class Row(NamedTuple):
    """One row: a subject of `subjects` with its settings, and whether diffusers has it, too."""

    name: str
    subject: str
    settings: dict[str, Any]
    peer: bool = False


def all_rows() -> list[Row]:
    """The whole table."""
    rows = dit_rows(LENGTHS, compiled=True, **DIT) + autoencoder_rows(CLIPS, **AUTOENCODER)
    return rows + step_rows(STEPS) + job_rows(JOBS, WORLDS)


def dit_rows(lengths: Mapping[int, Sequence[str]], compiled: bool, **settings: int) -> list[Row]:
    """The DiT: passes by numbers of tokens. settings: width, layers, text_tokens.

    compiled: whether torch compiles diffusers', which takes minutes.
    """
    rows = []
    for tokens, passes in lengths.items():
        dit_speed.check(tokens, settings["width"], settings["layers"])
        for what in passes:
            own = {"tokens": tokens, "what": what, "compiled": compiled, **settings}
            rows.append(Row(f"DiT {what}, {tokens:,} tokens", "dit", own, True))
    return rows


def autoencoder_rows(clips: Sequence[tuple[int, int, int]], **settings: Any) -> list[Row]:
    """Encoding and decoding of clips (T, H, W). settings: others of `subjects.autoencoder`."""
    return [
        Row(
            f"autoencoder {what}, {'x'.join(map(str, clip))}",
            "autoencoder",
            settings | {"what": what, "clip": list(clip)},
            True,
        )
        for clip in clips
        for what in ("encode", "decode")
    ]


def step_rows(steps: Mapping[str, tuple]) -> list[Row]:
    """Steps of training and sampling, of STEPS."""
    names = ("config", "fields", "clip", "batch")
    return [
        Row(name, subject, dict(zip(names, (*rest[:2], list(rest[2]), rest[3]), strict=True)))
        for name, (subject, *rest) in steps.items()
    ]


def job_rows(jobs: Mapping[str, int], worlds: Mapping[str, tuple[int, int, int]]) -> list[Row]:
    """Clips of the world made, encoded and judged, of JOBS and WORLDS."""
    return [
        Row(
            f"{job} {'x'.join(map(str, clip))}",
            job,
            {"clip": list(clip), "slice": name, "clips": clips},
        )
        for name, clip in worlds.items()
        for job, clips in jobs.items()
    ]


def choose(rows: Sequence[Row], pattern: str) -> list[Row]:
    """The rows whose name has a match of a regular expression.

    Raises ValueError if there is none, or it is no regular expression.
    """
    try:
        chosen = [row for row in rows if re.search(pattern, row.name)]
    except re.error as error:
        raise ValueError(f"rows={pattern} is no regular expression: {error}") from None
    if chosen:
        return chosen
    raise ValueError(f"rows={pattern}: no row is called so; there are {[r.name for r in rows]}")


def measure(
    rows: Sequence[Row],
    repeats: int,
    limit: float,
    *,
    peer: bool = True,
    against: str | Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Yields the report of every row.

    Args:
      limit: seconds of a row, after which rounds end; see `turns.rounds`.
      peer: whether diffusers' runs, too, where it can.
      against: another checkout, which runs too, or a file of earlier reports to compare with.

    Raises:
      ValueError: the file is of another machine, or of other settings for one of the rows; or this
        machine's devices are no CPUs, which several processes could share; or diffusers, or
        `against`, is missing.
    """
    if (platform := sharding.platform()) != "cpu":
        raise ValueError(f"rows are timed on CPUs, not on a {platform}; use --what=train or sample")
    if against and not Path(against).exists():
        raise ValueError(f"against={against} is neither a file of --json nor a checkout")
    peer = peer and any(row.peer for row in rows)
    if peer and not all(map(importlib.util.find_spec, ("torch", "diffusers"))):
        raise ValueError('diffusers is not installed: pip install -e ".[parity]", or --nopeer')
    other = bool(against) and Path(against).is_dir()
    earlier = reports.read(against) if against and not other else {}
    checkouts = {"ours": HERE} | ({"before": Path(against)} if other else {})
    with contextlib.ExitStack() as stack:
        start = lambda path: stack.enter_context(turns.Process(path))  # noqa: E731
        processes = {who: start(path) for who, path in checkouts.items()}
        machine = reports.machine() | {"device": processes["ours"].device}
        for row in rows:
            reports.check_same(row.name, machine, row.settings, earlier)
        if peer:
            processes["diffusers"] = start(HERE)
        for row in rows:
            running = {who: one for who, one in processes.items() if row.peer or who != "diffusers"}
            for who, process in running.items():
                logging.info("%s: %s compiles and runs once", row.name, who)
                process.prepare(row.subject, {"who": who, **row.settings})
            runs = turns.rounds({who: one.run for who, one in running.items()}, repeats, limit)
            found = report(row, runs) | reports.compare(row.name, runs, earlier)
            found = reports.rounded(found)
            yield found | {"machine": machine, "versions": reports.versions(*checkouts.values())}


def report(row: Row, runs: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What is known of a row whose runs took so many seconds."""
    found = {"row": row.name, "settings": row.settings}
    found["seconds"] = {who: reports.spread(values) for who, values in runs.items()}
    others = [who for who in runs if who != "ours"]
    found["speed-up"] = {f"{who} / ours": reports.ratio(runs[who], runs["ours"]) for who in others}
    if count := row.settings.get("clips"):
        found["clips/s"] = {who: count / one["median"] for who, one in found["seconds"].items()}
    if row.subject == "dit":
        sizes = {name: row.settings[name] for name in ("tokens", *DIT)}
        found["forward GFLOP"] = dit_speed.gflops(**sizes, peer="diffusers" in runs)
    return found
