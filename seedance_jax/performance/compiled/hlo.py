"""Reads compiled programs (XLA's optimized HLO text): their loops and their collectives.

The body of a loop counts as often as the loop runs: XLA annotates trip counts for CPUs and GPUs;
for TPUs they are derived from the loop's condition. A loop of unknown trip count is a ValueError.
Bytes are what one device sends in ring or pairwise algorithms: (n - 1) / n of the bytes that a
group of n gathers, scatters or exchanges, twice that for a reduction, all bytes of a permutation.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
BITS = {"pred": 8, "s4": 4, "u4": 4}  # the names of all others end in their size, like bf16

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|branch_computations)=(?:\{([^}]*)\}|(%?[\w.\-]+))"
)
FLOW = ("while", "conditional", "call", "async-start")  # what they call runs unfused
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
LOOP = re.compile(r"while\(%?([\w.\-]+)\), condition=%?([\w.\-]+), body=%?([\w.\-]+)")
COMPARED = re.compile(r"compare\(%([\w.\-]+), %([\w.\-]+)\), direction=LT")
ADDED = re.compile(r"add\(%([\w.\-]+), %([\w.\-]+)\)")
PLACE = re.compile(r"get-tuple-element\(.*\), index=(\d+)")
STAGED, CHANNEL = "async_collective_fusion_config", re.compile(r"channel_id=(\d+)")
CONSTANT = re.compile(r" constant\((-?\d+)\)")
COPIED = re.compile(r" copy\(%([\w.\-]+)\)")
SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
CONTEXT = ("u32", "")  # a scalar of asynchronous instructions that is not data
OPERAND = re.compile(r"%([\w.\-]+)")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(\d+),(\d+)\])")
MESH_GROUPS = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
# How much of what a device sends goes to other slices, of so many.
TRANSFERS = {
    "ALL_REDUCE": lambda slices: 2 * (slices - 1) / slices,
    "ALL_GATHER": lambda slices: slices - 1,
    "REDUCE_SCATTER": lambda slices: (slices - 1) / slices,
    "ALL_TO_ALL": lambda slices: (slices - 1) / slices,
    "ONE_TO_ONE": lambda slices: 1,
}
MEGASCALE, TRANSFER = "xla_megascale_runtime", re.compile(r'_xla_megascale_transfer_type="(\w+)"')
MESH_AXIS = re.compile(r"'(\w+)'(?:=(\d+)|:\(\d+\)(\d+))?")


class Collective(NamedTuple):
    """One collective of a program.

    Attributes:
      kind: one of KINDS.
      size: bytes of its result on one device.
      group: number of devices in a replica group.
      times: how often it runs in one run of the program.
      loop: whether it is in a loop.
    """

    kind: str
    size: int
    group: int
    times: int
    loop: bool

    @property
    def sent(self) -> float:
        """Bytes that one device sends in one run of the program."""
        share = (self.group - 1) / self.group
        factor = {
            "all-reduce": 2 * share,
            "reduce-scatter": self.group - 1,  # its result is one n-th of what is reduced
            "collective-permute": 1.0,
        }.get(self.kind, share)
        return self.times * self.size * factor


def collectives(text: str, devices: int) -> list[Collective]:
    """The collectives of a program (HLO text) for `devices` devices, in the order of the text."""
    found, seen = [], set()
    computations = read_computations(text)
    times = count_runs(computations)
    for name, lines in computations.items():
        for line in lines:
            match = INSTRUCTION.match(line)
            kind = match and match[3].removesuffix("-start")
            if kind not in KINDS or not times[name]:
                continue
            if STAGED in line:  # repeated in every computation that it overlaps with
                channel = CHANNEL.search(line)[1]
                if channel in seen:
                    continue
                seen.add(channel)
            size = _result_bytes(match[2], match[3])
            group = devices if kind == "collective-permute" else _group(match[4], devices)
            if name.startswith("all-reduce-scatter"):  # XLA's fusion of all-reduce and slice
                kind, size = "reduce-scatter", size // group
            found.append(Collective(kind, size, group, times[name], times[name] > 1))
    return found


def between_slices(text: str, slices: int) -> tuple[int, float]:
    """(how often a device sends to other slices, bytes of all) in one run of a program.

    XLA reduces within a slice first, so that each of its devices sends its share alone, which the
    runtime reduces over the slices, here counted as in a ring.
    """
    computations = read_computations(text)
    times, count, sent = count_runs(computations), 0, 0.0
    for name, lines in computations.items():
        for line in lines:
            match = INSTRUCTION.match(line)
            if not (match and match[3] == "send" and MEGASCALE in line):
                continue
            kind = TRANSFER.search(line)
            if not kind or kind[1] not in TRANSFERS:
                raise ValueError(
                    f"between slices, of a kind that is not known: {line.strip()[:300]}"
                )
            factor = TRANSFERS[kind[1]](slices)
            count += times[name]
            sent += times[name] * factor * size_of(*SHAPE.search(match[2]).groups())
    return count, sent


def summarize(found: Iterable[Collective]) -> dict[str, tuple[int, int]]:
    """{kind: (how many run, bytes that one device sends)}."""
    counts, sent = Counter(), Counter()
    for one in found:
        counts[one.kind] += one.times
        sent[one.kind] += one.sent
    return {kind: (counts[kind], round(sent[kind])) for kind in KINDS if counts[kind]}


def read_computations(text: str) -> dict[str, list[str]]:
    """{name: lines} of the computations of a program; the entry computation is called ENTRY."""
    found, lines = {}, []
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            lines = found.setdefault("ENTRY" if match[1] else match[2], [])
        elif line.startswith(" "):
            lines.append(line)
    return found


def count_runs(
    computations: Mapping[str, list[str]], callers: Collection[str] | None = None
) -> Counter[str]:
    """How often each computation runs in one run of the program.

    Args:
      callers: opcodes of the instructions whose calls count; None for all.
    """
    times = Counter(ENTRY=1)
    # HLO text defines a computation before it is called.
    for name in reversed(list(computations)):
        for line in computations[name]:
            match = INSTRUCTION.match(line)
            if callers and not (match and match[3] in callers):
                continue
            trips = _trips(line, computations[name], computations) if " while(" in line else 1
            for several, one in CALLED.findall(line):
                for called in re.split(r",\s*", several or one):
                    times[called.removeprefix("%")] += times[name] * trips
    return times


def _trips(line, caller, computations):
    """Trip count of the loop in `line`, an instruction of the computation `caller`.

    Without XLA's annotation it is derived from a counter in the loop's carry that rises to a
    constant.
    """
    if match := TRIPS.search(line):
        return int(match[1])
    carried, condition, body = LOOP.search(line).groups()
    try:
        before, inside = _defined(caller), _defined(computations[body])
        test = _defined(computations[condition])
        counter, limit = COMPARED.search(test["ROOT"]).groups()
        place = int(PLACE.search(test[counter])[1])
        start = OPERAND.findall(before[carried].split(" tuple(")[1])[place]
        after = OPERAND.findall(inside["ROOT"].split(" tuple(")[1])[place]
        step = ADDED.search(_source(after, inside))[2]
        pairs = ((limit, test), (start, before), (step, inside))
        limit, start, step = (int(CONSTANT.search(_source(*pair))[1]) for pair in pairs)
    except (KeyError, IndexError, TypeError):
        raise ValueError(f"a loop of unknown length: {line.strip()[:200]}") from None
    return -(-(limit - start) // step)


def _defined(lines):
    """{name: line} of the instructions of a computation; ROOT is its result."""
    named = {match[1]: line for line in lines if (match := INSTRUCTION.match(line))}
    roots = [line for line in lines if line.lstrip().startswith("ROOT ")]
    return named | {"ROOT": "".join(roots)}


def _source(name, lines):
    """The line of an instruction's source, through any number of copies."""
    while match := COPIED.search(lines[name]):
        name = match[1]
    return lines[name]


def _result_bytes(types, opcode):
    """Bytes of the result; asynchronous starts also list their operands, in the first half."""
    sizes = [size_of(*shape) for shape in SHAPE.findall(types) if shape != CONTEXT]
    if opcode in ("all-gather-start", "all-to-all-start", "collective-permute-start"):
        sizes = sizes[len(sizes) // 2 :]
    return sum(sizes)


def size_of(dtype: str, dimensions: str) -> int:
    """Bytes of an HLO array: dtype "bf16", dimensions "8,16"."""
    bits = BITS.get(dtype) or int(re.search(r"\d+", dtype)[0])
    return math.prod(int(n) for n in dimensions.split(",") if n) * bits // 8


def _group(attributes, devices):
    if match := MESH_GROUPS.search(attributes):  # {'a'}, or {'a':(1)2} for a part of an axis
        sizes = {name: int(size) for name, size, _ in MESH_AXIS.findall(match[1])}
        used = MESH_AXIS.findall(match[2])
        return math.prod(int(part) if part else sizes[name] for name, _, part in used)
    match = GROUPS.search(attributes)
    if not match or match[1] == "":
        return devices
    return int(match[3]) if match[3] else len(match[1].split(","))
