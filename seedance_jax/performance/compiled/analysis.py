"""What a compiled program would need and reach on real chips: memory, collectives, roofline."""

import math
import re
import time

import jax

from seedance_jax.performance.chips import CHIPS, parse_topology
from seedance_jax.performance.compiled import hlo
from seedance_jax.performance.compiled.flops import traced_operations
from seedance_jax.performance.compiled.traffic import traffic

GIB = 2**30
ADVICE = "more sequence or remat='full' for temporaries, more fsdp for arguments, or accumulate"
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
TOO_MUCH = re.compile(
    r"HLO temporaries \(([\d.]+)([KMG])\) exceeds available HBM \(([\d.]+)([KMG])\)"
)


def compile_for(topology, program, counted=None):
    """The report of a `programs.Program` compiled for a topology.

    Args:
      counted: the same in operations that can be counted; None leaves them out.
    """
    operations = None
    if counted is not None:
        operations = traced_operations(counted.function, *counted.arguments, **counted.named)
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
    report = make_report(done, topology, program.useful, operations)
    return report | {"seconds": time.time() - start}


def make_report(compiled, topology, useful=None, operations=None):
    """Figures of a program compiled for a TPU topology, in bytes, operations and seconds (JSON).

    The bounds are what published peaks allow if all that is not the bottleneck hides behind it; no
    program is faster.

    Args:
      topology: see `chips.parse_topology`.
      useful: operations that the model needs, over all devices.
      operations: that the program runs, over all devices; see `evaluation.operations`.
    """
    name, shape = parse_topology(topology)
    chip, devices = CHIPS[name], math.prod(shape) * CHIPS[name].devices
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
        "operations": operations,
        "useful_operations": useful,
        "bounds": {
            "memory": traffic(text) / (chip.bandwidth / chip.devices),
            # A link's figure is both directions together.
            "links": sum(one.sent for one in found) / (chip.links / 2 / chip.devices),
        },
    }
    if operations is not None:
        report["bounds"]["compute"] = operations * chip.devices / (devices * chip.flops)
    report["binds"] = max(report["bounds"], key=report["bounds"].get)
    if useful is not None:
        peak = devices / chip.devices * chip.flops
        report["mfu_at_most"] = useful / (peak * report["bounds"][report["binds"]])
    return report


def memory(stats, limit):
    """Bytes on one device: XLA's analysis of a program, next to what the device has."""
    parts = {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes - stats.alias_size_in_bytes,
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    on_host = stats.host_temp_size_in_bytes + stats.host_argument_size_in_bytes
    peak = sum(parts.values())
    return parts | {"peak": peak, "limit": int(limit), "fits": peak <= limit, "on_host": on_host}


def lines(report):
    """The report as text."""
    used = report["memory"]
    if "bounds" not in report:  # the compiler gave up
        above = _gib(used["peak"] - used["limit"])
        yield f"does not fit: {_gib(used['peak'])} of {_gib(used['limit'])}, {above} too much"
        yield ADVICE
        return
    names = ("arguments", "results", "temporaries", "code")
    parts = ", ".join(f"{name} {_gib(used[name])}" for name in names)
    yield f"memory of a device: {parts}: {_gib(used['peak'])} of {_gib(used['limit'])}"
    left = used["limit"] - used["peak"]
    fits = "fits" if used["fits"] else "does not fit"
    spare = f"{_gib(abs(left))} {'to spare' if used['fits'] else 'too much; ' + ADVICE}"
    yield f"{fits}: {spare}" + (f"; {_gib(used['on_host'])} on the host" if used["on_host"] else "")
    for kind, one in report["collectives"].items():
        yield f"{kind}: {one['times']:,} times, a device sends {_gib(one['sent'])}"
    if report["operations"] is not None:
        yield f"operations: {report['operations']:.4g}" + _share(report)
    bounds = ", ".join(f"{name} {1e3 * s:,.3g} ms" for name, s in report["bounds"].items())
    yield f"at best: {bounds}: {report['binds']} binds"
    if "mfu_at_most" in report:
        yield f"MFU at most {100 * report['mfu_at_most']:.1f} %"


def _share(report):
    useful = report["useful_operations"]
    return f", {report['operations'] / useful:.3f} times what the model needs" if useful else ""


def _gib(size):
    return f"{size / GIB:,.2f} GiB"
