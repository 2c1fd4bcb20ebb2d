"""What is measured for one gate."""

import math
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """What is measured for one gate.

    Attributes:
      value: number, word or list; None if nothing could be measured.
      valid: whether the clip allowed a measurement.
      evidence: what it rests on, ready for JSON; places in pixels, times in frames of the clip.
    """

    value: Any
    valid: bool
    evidence: dict


def number(value: float | None, **evidence: Any) -> Finding:
    """The `Finding` of a number, which is valid if there is one."""
    valid = value is not None and math.isfinite(value)
    return Finding(float(value) if valid else None, valid, evidence)
