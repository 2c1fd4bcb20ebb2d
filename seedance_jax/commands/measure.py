"""Public metrics of clips: distances to a reference, VBench, and the plausibility of a run.

    python -m seedance_jax measure --real=runs/tiny/pretrain:validation --fake=samples
    python -m seedance_jax measure --real=real --fake=fake --i3d=i3d_pretrained_400.pt
    python -m seedance_jax measure --real=real --fake=decoded --paired
    python -m seedance_jax measure --run=released

--real and --fake are folders of video files of one length, size and rate, or RUN:SPLIT for a split
of the data that a run was trained on. `fvd_world` and `kvd_world` are distances over features of a
small network that knows the synthetic world only, and no FVD; `fvd` and `kvd` are over I3D with the
public weights, which --i3d names. --paired takes files of the same name in both folders as pairs,
of which one should be the other, and adds PSNR, SSIM and, with public weights, LPIPS. --run asks a
generator whether it prefers what can happen in the world (LikePhys); `released` are the weights
that come with the package. Prints JSON: every metric with its 95 % interval.
"""

import json
from collections.abc import Callable

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.data.world import violations
from seedance_jax.evaluation import clips, measurement
from seedance_jax.evaluation.metrics import features, paired
from seedance_jax.models.perception.i3d import EPSILONS
from seedance_jax.pretrained import runs
from seedance_jax.sampling.pipeline import Pipeline
from seedance_jax.training import places
from seedance_jax.training.places import place

REAL = cli.define_path("real", "", "Reference: a folder of clips, or RUN:SPLIT.", buckets=True)
FAKE = cli.define_path("fake", "", "Clips to measure: a folder, or RUN:SPLIT.", buckets=True)
LIMIT = flags.DEFINE_integer(
    "limit", None, "Clips of either at most, the first ones.", measurement.LEAST
)
DATA_DIR = cli.define_path("data_dir", "", "Where the data set of a RUN is, if it has moved.")
I3D = cli.define_path("i3d", "", "File of public weights of I3D (.pt, .pth, .safetensors).")
I3D_FILE = flags.DEFINE_enum(
    "i3d_file", "i3d_pretrained_400", sorted(EPSILONS), "Which public weights --i3d is."
)
WORLD = cli.define_path("features", str(features.WORLD), "Of `train_features`.")
PAIRED = flags.DEFINE_bool("paired", False, "Files of the same name are pairs: PSNR and SSIM.")
LPIPS = cli.define_paths(
    "lpips", [], "Files of public weights, of VGG16 and of the heads: vgg16-397923af.pth,vgg.pth"
)
RUN = cli.define_path("run", "", "Generator to ask for plausibility, or `released`.", buckets=True)
NUM_PAIRS = flags.DEFINE_integer("num_pairs", 48, "Pairs of clips of each violation.", 1)
SEED = flags.DEFINE_integer("seed", 0, "Of noise, bootstrap and shuffled frames.", 0)
OUTPUT = cli.define_path("output", "", "File for the JSON, too.", buckets=True)

# The flags that have a use, by another one that is given.
USES = {
    "--real": ("limit", "data_dir", "i3d", "features", "paired"),
    "--i3d": ("i3d_file",),
    "--paired": ("lpips",),
    "--run": ("num_pairs",),
}


def check_flags() -> None:
    """Raises ValueError for flags that do not go together, or OSError for an --output."""
    if bool(REAL.value) != bool(FAKE.value) or not (REAL.value or RUN.value):
        raise ValueError("give --real and --fake, or --run, or all three")
    cli.needs(USES)
    if len(LPIPS.value) not in (0, 2):
        raise ValueError(f"--lpips={','.join(LPIPS.value)}: give two files, VGG16 and the heads")
    if OUTPUT.value:
        if place(OUTPUT.value).is_dir():
            raise ValueError(f"--output={OUTPUT.value} is a directory; give a file")
        places.check_writable(place(OUTPUT.value).parent)


def open_run() -> Pipeline:
    """The pipeline of --run; ValueError unless it was trained on the world."""
    pipeline = Pipeline.from_run(runs.RELEASED if RUN.value == "released" else RUN.value)
    violations.spec_of(pipeline.config["data"])
    return pipeline


def open_sets() -> tuple[clips.Clips, clips.Clips, list[features.Features], Callable | None]:
    """(real, fake, networks, LPIPS or None)."""
    networks = [features.open_world(WORLD.value)]
    if I3D.value:
        networks.append(features.open_i3d(I3D.value, I3D_FILE.value))
    lpips = paired.open_lpips(*LPIPS.value) if LPIPS.value else None
    real, fake = (
        clips.read_clips(where, LIMIT.value, DATA_DIR.value) for where in (REAL.value, FAKE.value)
    )
    return real, fake, networks, lpips


def main(argv: list[str]) -> None:
    del argv
    check_flags()
    pipeline = open_run() if RUN.value else None
    sets = open_sets() if REAL.value else None
    found = measurement.of_sets(*sets, SEED.value, PAIRED.value) if sets else {}
    if pipeline:
        found["plausibility"] = measurement.of_run(pipeline, NUM_PAIRS.value, SEED.value)
    text = json.dumps(found, indent=2)
    print(text)
    if OUTPUT.value:
        place(OUTPUT.value).write_text(text + "\n")
