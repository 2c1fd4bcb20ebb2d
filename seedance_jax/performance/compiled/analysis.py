"""Memory, collectives and roofline bounds of a compiled program on TPUs."""

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from seedance_jax.performance.chips import CHIPS, parse_topology
from seedance_jax.performance.compiled import hlo
from seedance_jax.performance.compiled.flops import traced_flops
from seedance_jax.performance.compiled.traffic import traffic
from seedance_jax.performance.programs import Program

GIB = 2**30
ADVICE = (
    "raise sequence or use remat='full' for temporaries, raise fsdp for arguments, or accumulate"
)
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
TOO_MUCH = re.compile(
    r"HLO temporaries \(([\d.]+)([KMG])\) exceeds available HBM \(([\d.]+)([KMG])\)"
)


def compile_for(
    topology: str, program: Program, counted: Program | None = None, slices: int = 1
) -> dict[str, Any]:
    """The report of a program compiled for so many slices of a topology.

    Args:
      counted: the same program without custom kernels, whose FLOPs can be counted; None leaves
        them out of the report.
    """
    flops = None
    if counted is not None:
        flops = traced_flops(counted.function, *counted.arguments, **counted.named)
    start, lowered = time.time(), program.lower()
    try:
        done = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = TOO_MUCH.search(str(error))
        if not found:
            raise
        used, limit = (float(n) * UNITS[unit] for n, unit in (found.group(1, 2), found.group(3, 4)))
        used = {"peak": int(used), "limit": int(limit), "fits": False}
        return {"topology": topology, "memory": used, "seconds": time.time() - start}
    report = make_report(done, topology, program.model_flops, flops, slices)
    return report | {"seconds": time.time() - start}


def make_report(
    compiled: jax.stages.Compiled,
    topology: str,
    model_flops: float | None = None,
    flops: float | None = None,
    slices: int = 1,
) -> dict[str, Any]:
    """Bytes, FLOPs and lower bounds in seconds of a program compiled for a TPU topology (JSON).

    Each bound is the time of one resource at its published peak; a perfect overlap of all of them
    takes as long as the largest.

    Args:
      topology: see `chips.parse_topology`.
      model_flops: FLOPs of the model without recomputation, over all devices.
      flops: FLOPs that the program runs, over all devices (`compiled.flops`).
      slices: of the topology. What goes from one to another is in "network", and bounds the step
        by the published rate of a chip.
    """
    name, shape = parse_topology(topology)
    chip, devices = CHIPS[name], slices * math.prod(shape) * CHIPS[name].devices
    text = compiled.as_text()
    found = hlo.collectives(text, devices)
    report = {
        "topology": topology,
        "devices": devices,
        "memory": memory(compiled.memory_analysis(), chip.memory / chip.devices),
        "collectives": {
            kind: {"times": times, "sent": sent}
            for kind, (times, sent) in hlo.summarize(found).items()
        },
        "flops": flops,
        "model_flops": model_flops,
        "bounds": {
            "memory": traffic(text) / (chip.bandwidth / chip.devices),
            # Published figures of links add both directions.
            "links": sum(one.sent for one in found) / (chip.links / 2 / chip.devices),
        },
    }
    if slices > 1:
        times, sent = hlo.between_slices(text, slices)
        report |= {"slices": slices, "network": {"times": times, "sent": round(sent)}}
        report["bounds"]["network"] = sent / (chip.network / chip.devices)
    if flops is not None:
        report["bounds"]["compute"] = flops * chip.devices / (devices * chip.flops)
    report["binds"] = max(report["bounds"], key=report["bounds"].get)
    if model_flops is not None:
        peak = devices / chip.devices * chip.flops
        report["mfu_at_most"] = model_flops / (peak * report["bounds"][report["binds"]])
    return report


def memory(stats: Any, limit: float) -> dict[str, int | bool]:
    """XLA's memory analysis of a program against the memory of a device, in bytes per device."""
    parts = {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes - stats.alias_size_in_bytes,
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    on_host = stats.host_temp_size_in_bytes + stats.host_argument_size_in_bytes
    peak = sum(parts.values())
    return parts | {"peak": peak, "limit": int(limit), "fits": peak <= limit, "on_host": on_host}


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as text."""
    used = report["memory"]
    if "bounds" not in report:  # XLA ran out of memory
        above = _gib(used["peak"] - used["limit"])
        yield f"does not fit: {_gib(used['peak'])} of {_gib(used['limit'])}, {above} too much"
        yield ADVICE
        return
    names = ("arguments", "results", "temporaries", "code")
    parts = ", ".join(f"{name} {_gib(used[name])}" for name in names)
    yield f"memory per device: {parts}: {_gib(used['peak'])} of {_gib(used['limit'])}"
    left = used["limit"] - used["peak"]
    fits = "fits" if used["fits"] else "does not fit"
    spare = f"{_gib(abs(left))} {'to spare' if used['fits'] else 'too much; ' + ADVICE}"
    yield f"{fits}: {spare}" + (f"; {_gib(used['on_host'])} on the host" if used["on_host"] else "")
    for kind, one in report["collectives"].items():
        yield f"{kind}: {one['times']:,} times, a device sends {_gib(one['sent'])}"
    if "network" in report:
        one = report["network"]
        yield f"between slices: {one['times']:,} times, a device sends {_gib(one['sent'])}"
    if report["flops"] is not None:
        yield f"FLOPs: {report['flops']:.4g}" + _share(report)
    bounds = ", ".join(f"{name} {1e3 * s:,.3g} ms" for name, s in report["bounds"].items())
    yield f"at best: {bounds}: {report['binds']} binds"
    if "mfu_at_most" in report:
        yield f"MFU at most {100 * report['mfu_at_most']:.1f} %"


def _share(report):
    model = report["model_flops"]
    return f", {report['flops'] / model:.3f} times those of the model" if model else ""


def _gib(size):
    return f"{size / GIB:,.2f} GiB"
