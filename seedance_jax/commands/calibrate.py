"""Measures how far the judges of the synthetic world can be trusted, and sets their thresholds.

    python -m seedance_jax calibrate --output=calibration
    python -m seedance_jax calibrate --output=calibration --slice=plain --num_frames=49 --fps=24

True clips of one range of numbers set the thresholds; then true clips of another range, and clips
that are wrong in known ways, are judged. Writes calibration.json, with the thresholds, and the
table calibration.md; --write puts the thresholds of this slice where the judges read them, after
which results of suites that older ones judged are refused.
"""

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.data.world import WorldSpec
from seedance_jax.evaluation.judges import calibration
from seedance_jax.sampling import media

OUTPUT = cli.define_path("output", None, "Directory for the results.", required=True)
SLICE = flags.DEFINE_string("slice", "tiny", "Slice of the world.")
NUM_FRAMES = flags.DEFINE_integer("num_frames", 17, "Frames of a clip.")
SIZE = flags.DEFINE_integer("size", 64, "Height and width.")
FPS = flags.DEFINE_integer("fps", 12, "Frames a second.")
CALIBRATION = flags.DEFINE_integer("calibration", 200, "True clips that set the thresholds.", 10)
REPORT = flags.DEFINE_integer("report", 150, "True clips that are judged with them.", 10)
CORRUPTED = flags.DEFINE_integer("corrupted", 30, "Clips of each corruption, at most.", 1)
WRITE = flags.DEFINE_bool("write", False, "Whether the judges are to use these thresholds.")


def main(argv: list[str]) -> None:
    del argv
    output = media.check_writable(OUTPUT.value)
    spec = WorldSpec(NUM_FRAMES.value, SIZE.value, SIZE.value, FPS.value, SLICE.value)
    counts = REPORT.value, CORRUPTED.value
    results = calibration.write_calibration(spec, CALIBRATION.value, counts, output, WRITE.value)
    print(calibration.table(results))
    print("recall", results["true"]["recall"], "seconds per clip", results["seconds_per_clip"])
