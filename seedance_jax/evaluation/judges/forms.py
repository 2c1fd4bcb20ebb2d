"""Forms of clips, and the thresholds that hold for each: numbers that true clips of it have.

A threshold that was measured on clips of one form says nothing of another one: sharpness is of a
size, motion of a rate, cameras of a length. So a form without thresholds of its own is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

THRESHOLDS = Path(__file__).with_name("thresholds.json")
REPORTS = THRESHOLDS.with_name("reports.json")  # of `trials.report`, on which no verdict depends


class Form(NamedTuple):
    """What clips that are judged by the same thresholds have in common.

    Attributes:
      num_frames, height, width, fps: of a clip.
      slice, version: of the world that it should show. `WorldSpec(*form)` makes true clips.
    """

    num_frames: int
    height: int
    width: int
    fps: float
    slice: str
    version: str

    def __str__(self) -> str:
        size = f"{self.num_frames}x{self.height}x{self.width} at {self.fps:g} fps"
        return f"{self.slice} {self.version}, {size}"


def read_thresholds() -> dict[str, dict]:
    """{str of a form: {"clips": how many set them, "bounds": {gate: [least, most]}}}.

    Of "dynamics", and of some gates at low frame rates, the bounds are by event: {event or "any":
    [least, most]}.
    """
    return json.loads(THRESHOLDS.read_text())


def find_bounds(form: Form, thresholds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The bounds of a form.

    Args:
      thresholds: as `read_thresholds`; None is what that reads.

    Raises:
      ValueError: there are none; the message says how to measure them.
    """
    thresholds = read_thresholds() if thresholds is None else thresholds
    if str(form) not in thresholds:
        known = "; ".join(sorted(thresholds))
        raise ValueError(
            f"the judges have no thresholds for clips of {form}; measure them: python -m "
            f"seedance_jax calibrate --version={form.version} --slice={form.slice} "
            f"--num_frames={form.num_frames} --height={form.height} --width={form.width} "
            f"--fps={form.fps:g} --output=DIRECTORY, with --write for the judges to use; there are "
            f"thresholds for: {known}"
        )
    return thresholds[str(form)]["bounds"]


def write_thresholds(
    form: Form, clips: int, bounds: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    """Stores what holds for a form, and a report on it; other forms keep theirs."""
    for path, own in ((THRESHOLDS, {"clips": clips, "bounds": bounds}), (REPORTS, report)):
        stored = json.loads(path.read_text()) | {str(form): own}
        path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
