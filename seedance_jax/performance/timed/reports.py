"""What a benchmark reports of runs: medians and ratios with intervals, and the machine.

Intervals are of 95 % and need no assumption on how the seconds of runs are distributed: of a median
by order statistics, of the ratio of two by the ranks of Mann and Whitney, which hold if both vary
alike but for a factor. Where there are too few runs for that (6 for a median, 4 and 4 for a ratio)
they reach from the least to the largest value, and "level" says what that is worth. Runs of one
process say nothing of what differs from process to process.
"""

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from seedance_jax.pretrained import executables

LEVEL = 0.95
DIGITS = 4
# Flags of processors that programs of XLA and torch depend on most.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_fp16")
# Variables of the environment that change the number of threads, or the programs.
VARIABLES = ("XLA_FLAGS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
PACKAGES = ("jax", "jaxlib", "torch", "diffusers")


def machine() -> dict[str, Any]:
    """The processor, the cores that may be used, and what else changes seconds."""
    return {
        "processor": processor(),
        "cores": executables.cores(),
        "variables": {name: os.environ[name] for name in VARIABLES if os.environ.get(name)},
    }


def processor() -> str:
    """Its name, family and model, and those of FEATURES that it has (Linux; else the name)."""
    file = Path("/proc/cpuinfo")
    text = file.read_text() if file.exists() else ""
    said = dict(re.findall(r"^([^\t\n]+?)\s*: (.*)$", text.partition("\n\n")[0], re.MULTILINE))
    if "model name" not in said:
        return platform.processor() or platform.machine()
    found = said.get("flags", "").split()
    features = [name for name in FEATURES if name in found]
    kind = f"family {said.get('cpu family')}, model {said.get('model')}"
    return f"{said['model name']} ({', '.join([kind, *features])})"


def versions(*checkouts: Path) -> dict[str, Any]:
    """Versions of the packages that are installed, and the commits of checkouts."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | {"commits": [commit(checkout) for checkout in checkouts]}


def commit(checkout: Path) -> str | None:
    """The commit of a checkout, with a + if files differ from it; None if git knows it not."""
    if not (checkout / ".git").exists():
        return None
    text = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=9", "--exclude=*"]
    try:
        done = subprocess.run([*text, "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def signed(report: Mapping[str, Any], checkout: Path) -> dict[str, Any]:
    """A report with the machine and versions, unless it names them."""
    found = {"machine": machine(), "versions": versions(checkout)}
    return {**report, **{name: found[name] for name in found if name not in report}}


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """The median of values with its interval [low, high], the level of that, and the values."""
    count, drop = len(runs), 0
    while drop + 1 < (count + 1) // 2 and median_level(count, drop + 1) >= LEVEL:
        drop += 1
    ordered = sorted(runs)
    found = {"median": statistics.median(runs), "low": ordered[drop], "high": ordered[-1 - drop]}
    return found | {"level": median_level(count, drop), "runs": list(runs)}


def median_level(count: int, drop: int) -> float:
    """The probability that `count` values without the `drop` least and largest hold the median."""
    return 1 - 2 * sum(math.comb(count, k) for k in range(drop + 1)) / 2**count


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """The ratio of the medians of two sets of values, with its interval [low, high] and level."""
    ordered, drop = sorted(a / b for a in over for b in under), 0
    while 2 * drop + 2 < len(ordered) and ratio_level(len(over), len(under), drop + 1) >= LEVEL:
        drop += 1
    value = statistics.median(over) / statistics.median(under)
    found = {"ratio": value, "low": ordered[drop], "high": ordered[-1 - drop]}
    return found | {"level": ratio_level(len(over), len(under), drop)}


def ratio_level(over: int, under: int, drop: int) -> float:
    """`median_level` of the over * under ratios of values of two sets, for their true ratio."""
    outside = sum(rankings(over, under, k) for k in range(drop + 1))
    return 1 - 2 * outside / math.comb(over + under, over)


@functools.cache
def rankings(over: int, under: int, wins: int) -> int:
    """In how many orders of two sets just so many pairs have the value of the first on top."""
    if wins < 0 or not over or not under:
        return int(wins == 0)
    return rankings(over - 1, under, wins - under) + rankings(over, under - 1, wins)


def rounded(tree: Any) -> Any:
    """A report whose numbers have the digits that the seconds of runs are good for."""
    if isinstance(tree, Mapping):
        return {name: rounded(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return float(f"{tree:.{DIGITS}g}") if isinstance(tree, float) else tree


def sentence(report: Mapping[str, Any]) -> str:
    """The report of a row in a line: medians, then ratios with their intervals."""
    seconds = "; ".join(f"{who} {one['median']} s" for who, one in report["seconds"].items())
    ratios = report["speed-up"] | {
        f"earlier / now, {who}": one for who, one in report.get("earlier / now", {}).items()
    }
    said = [
        f"{name} {one['ratio']} ({one['low']} to {one['high']}, at {one['level']:.0%})"
        for name, one in ratios.items()
    ]
    return "; ".join([f"{report['row']}: {seconds}", *said])


def read(path: str | Path) -> dict[str, dict[str, Any]]:
    """{row: report} of a file of `benchmark --json`; the last of each row.

    Raises:
      ValueError: it has no rows.
    """
    try:
        lines = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]
        rows = {report["row"]: report for report in lines if "row" in report}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no file of benchmark --json: {error}") from error
    if not rows:
        raise ValueError(f"{path} has no row of a benchmark: make it with --what=table --json=FILE")
    return rows


def check_same(
    row: str,
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    earlier: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raises ValueError if the earlier report of a row is of another machine or other settings."""
    if row in earlier:
        now = {**machine, **settings}
        then = {**earlier[row]["machine"], **earlier[row]["settings"]}
        differ = [name for name in now | then if now.get(name) != then.get(name)]
        told = "".join(f"\n  {name}: {then.get(name)} -> {now.get(name)}" for name in differ)
        if differ:
            raise ValueError(f"{row!r} cannot be compared with the earlier one:{told}")


def compare(
    row: str, runs: Mapping[str, Sequence[float]], earlier: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """{"earlier / now": {subject: ratio}, ...} of a row; {} if it was not run earlier."""
    if row not in earlier:
        if earlier:
            logging.warning("the earlier reports have no row %r", row)
        return {}
    then = {who: one["runs"] for who, one in earlier[row]["seconds"].items()}
    found = {who: ratio(then[who], values) for who, values in runs.items() if who in then}
    return {"earlier / now": found, "earlier versions": earlier[row]["versions"]}
