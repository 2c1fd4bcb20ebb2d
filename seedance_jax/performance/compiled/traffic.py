"""Bytes that a compiled program reads from and writes to main memory (XLA's HLO text).

Every instruction reads its operands and writes its result, except for arrays in fast memory (memory
space 1) and inside fusions. Of an array that is sliced or updated in place only the slice moves:
the parameters of all layers are one array, of which each step of the scan reads a slice.

A custom kernel (Pallas) counts alike: all of its operands and results, once. `models/fused.py`
moves just that. Splash attention reads keys and values again for every block of queries after the
first, which is not counted.
"""

import re
from typing import NamedTuple

from seedance_jax.performance.compiled import hlo

PLACED = re.compile(hlo.SHAPE.pattern + r"(\{[^}]*\})?")
CALLED = re.compile(r"calls=%([\w.\-]+)")
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "iota", "partition-id")


class Instruction(NamedTuple):
    """One instruction of a computation.

    Attributes:
      sizes: bytes of each array of the result.
      slow: for each of them, whether it is in main memory.
      operands: names of instructions.
      called: the computation of a fusion, or None.
    """

    opcode: str
    sizes: tuple[int, ...]
    slow: tuple[bool, ...]
    operands: list[str]
    called: str | None


class Computation(NamedTuple):
    """instructions: {name: Instruction}; parameters: {number: name}; root: name of the result."""

    instructions: dict[str, Instruction]
    parameters: dict[int, str]
    root: str


def traffic(text: str) -> int:
    """Bytes that one device reads and writes in one run of a program (HLO text)."""
    computations = hlo.read_computations(text)
    times = hlo.count_runs(computations, hlo.FLOW)
    parsed = {name: _parse(lines) for name, lines in computations.items()}
    total = 0
    for name, inside in parsed.items():
        if times[name]:
            moved = (_moved(one, inside, parsed) for one in inside.instructions.values())
            total += times[name] * sum(moved)
    return total


def _parse(lines):
    instructions, parameters, root = {}, {}, None
    for line in lines:
        match = hlo.INSTRUCTION.match(line)
        if not match:
            continue
        name, types, opcode, rest = match.groups()
        shapes = [shape for shape in PLACED.findall(types) if shape[:2] != hlo.CONTEXT]
        sizes = tuple(hlo.size_of(*shape[:2]) for shape in shapes)
        slow = tuple("S(" not in shape[2] for shape in shapes)
        operands = hlo.OPERAND.findall(rest.split("), ")[0])
        called = CALLED.search(rest) if opcode == "fusion" else None
        instructions[name] = Instruction(opcode, sizes, slow, operands, called and called[1])
        if opcode == "parameter":
            parameters[int(rest.split(")")[0])] = name
        if line.lstrip().startswith("ROOT "):
            root = name
    return Computation(instructions, parameters, root)


def _moved(one, inside, parsed):
    """Bytes that one instruction of a computation moves."""
    if one.opcode in (*FREE, *hlo.FLOW) or one.opcode.endswith("-done"):
        return 0
    sources = [inside.instructions.get(name) for name in one.operands]
    if one.opcode == "dynamic-slice":
        return 2 * sum(one.sizes)
    if one.opcode == "dynamic-update-slice":
        return 2 * sum(sources[1].sizes)
    read, written = 0, one.sizes
    for number, source in enumerate(sources):
        if source and all(source.slow):
            read += _read(number, parsed[one.called], parsed) if one.called else sum(source.sizes)
    if one.called:
        written = _written(parsed[one.called].root, parsed[one.called], parsed)
    if len(written) != len(one.slow):
        return read + sum(written)
    return read + sum(size for size, slow in zip(written, one.slow, strict=True) if slow)


def _read(number, fused, parsed):
    """Bytes of a parameter that a fused computation reads: its slices, or all of it."""
    name = fused.parameters[number]
    return min(_used(name, fused, parsed), sum(fused.instructions[name].sizes))


def _used(name, fused, parsed):
    """Bytes of a value in a fused computation that its users read."""
    total = 0
    for user, one in fused.instructions.items():
        if name not in one.operands:
            continue
        if one.opcode == "bitcast":
            total += _used(user, fused, parsed)
        elif one.opcode == "dynamic-slice" and one.operands[0] == name:
            total += sum(one.sizes)
        elif one.opcode == "fusion":
            inner = parsed[one.called]
            total += sum(_read(k, inner, parsed) for k, o in enumerate(one.operands) if o == name)
        elif one.opcode != "dynamic-update-slice" or one.operands[0] != name:
            total += sum(fused.instructions[name].sizes)
    return total


def _written(name, fused, parsed):
    """Bytes of each array that a fused computation writes; of an update in place, its slice."""
    one = fused.instructions[name]
    if one.opcode == "tuple":
        return tuple(sum(_written(part, fused, parsed)) for part in one.operands)
    if one.opcode == "bitcast":
        return _written(one.operands[0], fused, parsed)
    if one.opcode == "dynamic-update-slice":
        return (sum(fused.instructions[one.operands[1]].sizes),)
    if one.opcode == "fusion":
        return _written(parsed[one.called].root, parsed[one.called], parsed)
    return one.sizes
