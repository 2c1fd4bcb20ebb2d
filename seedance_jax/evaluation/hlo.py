"""Reads compiled programs (XLA's optimized HLO text): collectives, and traffic to the main memory.

A loop's body counts as often as the loop runs. Bytes are what one device sends in the usual ring or
exchange algorithms: (n - 1) / n of what a group of n gathers, scatters or exchanges, twice that of
what it reduces, all of what is permuted.
"""

import math
import re
from collections import Counter
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
BITS = {"pred": 8, "s4": 4, "u4": 4}  # others have their size in their name, as bf16

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")
CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|branch_computations)=(?:\{([^}]*)\}|(%?[\w.\-]+))"
)
FLOW = ("while", "conditional", "call", "async-start")  # what they call runs as written
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota", "partition-id")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
OPERAND = re.compile(r"%([\w.\-]+)")
FAST = re.compile(r"\w+\[[\d,]*\]\{[^}]*S\(\d\)[^}]*\}")
GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(\d+),(\d+)\])")
MESH_GROUPS = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
MESH_AXIS = re.compile(r"'(\w+)'(?:=(\d+)|:\(\d+\)(\d+))?")


class Collective(NamedTuple):
    """One collective of a program.

    Attributes:
      kind: one of KINDS.
      size: bytes that it gives to one device.
      group: devices that take part together.
      times: how often it runs in one run of the program.
      loop: whether it is inside of a loop.
    """

    kind: str
    size: int
    group: int
    times: int
    loop: bool

    @property
    def sent(self):
        """Bytes that one device sends, all times together."""
        share = (self.group - 1) / self.group
        factor = {
            "all-reduce": 2 * share,
            "reduce-scatter": self.group - 1,  # of the part that a device is left with
            "collective-permute": 1.0,
        }.get(self.kind, share)
        return self.times * self.size * factor


def collectives(text, devices):
    """The collectives of a program in the order of its text, for so many devices."""
    found = []
    computations = _computations(text)
    times = _times(computations)
    for name, lines in computations.items():
        for line in lines:
            match = INSTRUCTION.match(line)
            kind = match and match[3].removesuffix("-start")
            if kind not in KINDS or not times[name]:
                continue
            size = _result_bytes(match[2], match[3])
            group = devices if kind == "collective-permute" else _group(match[4], devices)
            found.append(Collective(kind, size, group, times[name], times[name] > 1))
    return found


def traffic(text):
    """Bytes that one device reads from and writes to its main memory, as XLA counts them.

    Every operation reads its operands and writes its result, but for what lies in the fast memory
    (space 1); what is fused stays inside.
    """
    computations = _computations(text)
    times = _times(computations, FLOW)
    total = 0
    for name, lines in computations.items():
        instructions = [match for line in lines if (match := INSTRUCTION.match(line))]
        size = {match[1]: _slow_bytes(match[2]) for match in instructions}
        for match in instructions if times[name] else ():
            if match[3] in FREE or match[3] in FLOW or match[3].endswith("-done"):
                continue
            operands = OPERAND.findall(match[4].split("), ")[0])
            total += times[name] * (size[match[1]] + sum(size.get(one, 0) for one in operands))
    return total


def summarize(found):
    """{kind: (how many run, bytes that one device sends)} of collectives."""
    counts, sent = Counter(), Counter()
    for one in found:
        counts[one.kind] += one.times
        sent[one.kind] += one.sent
    return {kind: (counts[kind], round(sent[kind])) for kind in KINDS if counts[kind]}


def _computations(text):
    """{name: lines}; the entry is called ENTRY."""
    found, lines = {}, []
    for line in text.splitlines():
        if match := COMPUTATION.match(line):
            lines = found.setdefault("ENTRY" if match[1] else match[2], [])
        elif line.startswith(" "):
            lines.append(line)
    return found


def _times(computations, callers=None):
    """How often each computation runs: callers come after what they call.

    `callers` names the instructions whose calls count; None is all.
    """
    times = Counter(ENTRY=1)
    for name in reversed(list(computations)):
        for line in computations[name]:
            match = INSTRUCTION.match(line)
            if callers and not (match and match[3] in callers):
                continue
            trips = int(match[1]) if (match := TRIPS.search(line)) else 1
            for several, one in CALLED.findall(line):
                for called in re.split(r",\s*", several or one):
                    times[called.removeprefix("%")] += times[name] * trips
    return times


def _result_bytes(types, opcode):
    """Bytes of the result; a start of an asynchronous operation names its operands, too."""
    sizes = [_bytes(*shape) for shape in SHAPE.findall(types)]
    if opcode == "all-gather-start":
        return sum(sizes[len(sizes) // 2 :])
    if opcode == "collective-permute-start":
        return sizes[1]
    return sum(sizes)


def _slow_bytes(types):
    """Bytes of a result that lie in the main memory."""
    return sum(_bytes(*shape) for shape in SHAPE.findall(FAST.sub("", types)))


def _bytes(dtype, dimensions):
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
