"""Names of tensors in public files: those that a model needs, and others that may stand there."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

# Computed, counted or constant, and so in no need of being read; older writers saved them.
BUFFERS = re.compile(
    r"(^|\.)(rotary_emb\.((original_)?inv_freq|(cos|sin)_cached)|masked_bias|position_ids"
    r"|num_batches_tracked)$"
)
# Of weights that count only together with these.
QUANTISED = re.compile(
    r"(^|\.)(scaled_fp8|scale_weight|scale_input|weight_scale(_inv|_2)?|input_scale"
    r"|qweight|qzeros|scales|absmax|quant_map|SCB|weight_format)$"
)


def check_shapes(
    model: str,
    tensors: Mapping[str, Any],
    expected: Mapping[str, tuple],
    optional: Collection[str] = (),
) -> None:
    """Raises ValueError, with a report, unless names and shapes are exactly the expected ones.

    `BUFFERS` may exist besides; that they are ignored is printed.

    Args:
      model: its name, for the report.
      tensors: {name: array}; of `Tensors` no values are read.
      expected: {name: shape}.
      optional: prefixes of names that may exist besides.
    """
    found = getattr(tensors, "shapes", None)
    if found is None:
        found = {name: np.shape(array) for name, array in tensors.items()}
    same = [name for name in expected if found.get(name) == tuple(expected[name])]
    others = [n for n in found if n not in expected and not n.startswith(tuple(optional))]
    buffers = [name for name in others if BUFFERS.search(name)]
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in others if name not in buffers],
        "wrong shape": [
            f"{name} {found[name]} instead of {tuple(expected[name])}"
            for name in expected
            if name in found and name not in same
        ],
    }
    if any(problems.values()):
        reports = [shorten(kind, names) for kind, names in problems.items() if names]
        raise ValueError(
            "; ".join([f"{model}: {len(same)} of {len(expected)} tensors match", *reports])
        )
    if buffers:
        print(f"{model}: {shorten('buffers that are not needed, ignored', buffers)}")


def check_unquantised(names: Iterable[str]) -> None:
    """Raises ValueError if tensors of these names belong to weights that count only with them."""
    if found := [name for name in names if QUANTISED.search(name)]:
        raise ValueError(
            f"its weights are quantised, and count only with {shorten('scales', found)}: these are "
            "not applied here; save it as bfloat16 first"
        )


def shorten(kind: str, names: Collection[str], limit: int = 6) -> str:
    """The number of names, and the first of them."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {kind}: {', '.join(names[:limit])}{more}"
