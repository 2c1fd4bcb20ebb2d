"""Sets the judges' thresholds for a form of clips, and measures how far they can be trusted.

    python -m seedance_jax calibrate --output=calibration
    python -m seedance_jax calibrate --output=calibration --slice=plain --num_frames=25 --write
    python -m seedance_jax calibrate --show

True clips of one range of numbers set the thresholds; then true clips of another range, and clips
that are wrong in known ways, are judged. Writes calibration.json, with the thresholds, and the
table calibration.md; --calibration=0 judges by the thresholds that are there. --write puts both
where the judges read them, after which results of suites that older ones judged are refused. --show
prints what is there, a column for each form.
"""

import functools
import json
from collections.abc import Sequence

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.data.builders.processes import ordered_map
from seedance_jax.data.world import WorldSpec
from seedance_jax.data.world.spec import WORLD_VERSION
from seedance_jax.evaluation.judges import calibration, forms, trials
from seedance_jax.training import places

LEAST = 10  # clips, for quantiles of what they have
OUTPUT = cli.define_path("output", None, "Directory for the results.")
SHOW = flags.DEFINE_bool("show", False, "Print the reports on the thresholds that are there.")
VERSION = flags.DEFINE_string("version", WORLD_VERSION, "Of the world.")
SLICE = flags.DEFINE_string("slice", "tiny", "Slice of the world.")
NUM_FRAMES = flags.DEFINE_integer("num_frames", 17, "Frames of a clip.")
HEIGHT = flags.DEFINE_integer("height", 64, "Pixels.")
WIDTH = flags.DEFINE_integer("width", 64, "Pixels.")
FPS = flags.DEFINE_float("fps", 12, "Frames a second.")
CALIBRATION = flags.DEFINE_integer(
    "calibration",
    200,
    "True clips that set the thresholds, 10 or more; 0 takes those that are there.",
    0,
)
REPORT = flags.DEFINE_integer("report", 150, "True clips that are judged with them.", 10)
CORRUPTED = flags.DEFINE_integer("corrupted", 20, "Clips of each corruption, at most.", 1)
SEVERITIES = flags.DEFINE_list(
    "severities", ["0.1", "0.25", "0.5", "1"], "How wrong they are, rising; the last is 1."
)
WORKERS = flags.DEFINE_integer("workers", 1, "Processes that make and judge clips.", 1)
WRITE = flags.DEFINE_bool("write", False, "Whether the judges are to use these thresholds.")


def read_severities(texts: Sequence[str]) -> list[float]:
    """Numbers of --severities; ValueError for others than `trials.check_severities` wants."""
    try:
        severities = [float(text) for text in texts]
    except ValueError:
        raise ValueError(
            f"--severities={','.join(texts)}: not numbers with commas between"
        ) from None
    trials.check_severities(severities)
    return severities


def main(argv: list[str]) -> None:
    del argv
    if SHOW.value:
        print(trials.overview(json.loads(forms.REPORTS.read_text())))
        return
    if OUTPUT.value is None:
        raise ValueError("--output=DIRECTORY is missing, or --show")
    if 0 < CALIBRATION.value < LEAST:
        raise ValueError(f"--calibration={CALIBRATION.value}: is 0, or {LEAST} clips or more")
    severities = read_severities(SEVERITIES.value)
    output = places.check_writable(OUTPUT.value)
    sizes = NUM_FRAMES.value, HEIGHT.value, WIDTH.value, FPS.value
    spec = WorldSpec(*sizes, SLICE.value, version=VERSION.value)
    form = forms.Form(*sizes, spec.slice, spec.version)
    each = functools.partial(ordered_map, num_processes=WORKERS.value)
    clips = CALIBRATION.value
    if clips:
        bounds = calibration.calibrate(form, clips, each)
    else:
        bounds, clips = forms.find_bounds(form), forms.read_thresholds()[str(form)]["clips"]
    counts = REPORT.value, CORRUPTED.value
    found = trials.report(form, bounds, *counts, severities, each)
    results = {"clips": clips, "bounds": bounds, "report": found}
    text = json.dumps({str(form): results}, indent=1) + "\n"
    (output / "calibration.json").write_text(text)
    (output / "calibration.md").write_text(trials.table(found) + "\n")
    if WRITE.value:
        forms.write_thresholds(form, **results)
    print(trials.table(found))
    print(f"{found['seconds_per_clip']:.2f} seconds a clip")
