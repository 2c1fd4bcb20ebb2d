"""The whole chain at size smoke, as a user runs it."""

import itertools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from configs import base, sft
from seedance_jax.data import sources
from seedance_jax.data.video import decode_mp4
from seedance_jax.evaluation.suite import cases
from seedance_jax.training import run_directory

ROOT = pathlib.Path(__file__).parent.parent
PATH = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
STAGES = (
    "pretrain_image",
    "pretrain_video",
    "pretrain_highres",
    "pretrain_24fps",
    "continue_train",
)
pytest.importorskip("mujoco", reason="the world is an extra")


def start(*command, **variables):
    """A process of its own, as a user starts it."""
    environment = os.environ | {"PATH": PATH} | variables
    environment.pop("XLA_FLAGS", None)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def steps(workdir):
    """Steps that a run has logged."""
    log = workdir / "metrics.jsonl"
    return [json.loads(line)["step"] for line in log.open()] if log.exists() else []


def run_script(root, size="smoke", **variables):
    """What launch/chain.sh prints at a size."""
    script = ("bash", "launch/chain.sh", size, f"{root}/runs", f"{root}/data")
    process = start(*script, **variables)
    printed, errors = process.communicate()
    assert process.returncode == 0, printed + errors
    return printed


def note_commands(root, size):
    """(what launch/chain.sh prints at a size, the commands it would run)."""
    (root / "bin").mkdir()
    python = root / "bin/python"  # it only notes what it is to do
    python.write_text(f'#!/usr/bin/env bash\necho "${{@@Q}}" >> {root}/commands\n')
    python.chmod(0o755)
    printed = run_script(root, size, PATH=f"{root}/bin:{PATH}")
    noted = [shlex.split(line) for line in (root / "commands").read_text().splitlines()]
    assert {tuple(line[:2]) for line in noted} == {("-m", "seedance_jax")}
    return printed, [arguments for _, _, *arguments in noted]


@pytest.mark.parametrize(
    ("answer", "status", "made"),
    [("echo True", 0, 0), ("echo False", 0, 1), ("echo no gcsfs >&2; exit 3", 3, 0)],
)
def test_a_bucket_that_cannot_be_asked_ends_the_chain(tmp_path, answer, status, made):
    """In a copy of the repository, with a python that notes commands, and answers about objects."""
    for name in ("launch/chain.sh", "configs/taxonomy.txt"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    noted = f'echo "$3 $4" >> {tmp_path}/commands'
    python.write_text(f"#!/usr/bin/env bash\nif [ $1 = -c ]; then {answer}; else {noted}; fi\n")
    python.chmod(0o755)
    script = ("bash", f"{tmp_path}/launch/chain.sh", "smoke", "gs://some-bucket/my/runs")
    process = start(*script, PATH=f"{tmp_path}/bin:{PATH}")
    _, errors = process.communicate()
    assert process.returncode == status, errors
    commands = (tmp_path / "commands").read_text()
    assert commands.count("merge ") == made
    assert commands.count("configs/sft.py:smoke,") == made * len(sft.categories("smoke"))
    assert "continue_train" in (tmp_path / "runs/some-bucket/my/runs/times.txt").read_text()
    assert not (tmp_path / "some-bucket").exists()


@pytest.fixture(scope="module")
def chain(tmp_path_factory, command):
    """(directory, what was printed): the commands of launch/chain.sh, run in one process."""
    root = tmp_path_factory.mktemp("chain")
    printed, commands = note_commands(root, "smoke")
    for arguments in commands:
        done = command(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    return root, printed


@pytest.mark.parametrize("size", base.SIZES)
def test_specialists_end_early_by_a_suite_where_their_clips_have_one(size, tmp_path):
    _, commands = note_commands(tmp_path, size)
    specialists = [line for line in commands if line[0] == "train" and "sft.py" in line[1]]
    named = [[flag for flag in line if flag.startswith("--suite")] for line in specialists]
    assert len(named) == len(sft.categories(size))
    assert all(flags == named[0] for flags in named)
    flags = dict(flag.removeprefix("--suite").split("=") for flag in named[0])
    fitting = [] if size == "smoke" else suites_of(config := sft.get_config(size).to_dict())
    assert bool(flags) == bool(fitting)
    if flags:
        assert flags[""] in fitting
        assert int(flags["_patience"]) * int(flags["_every"]) < config["num_steps"]


def suites_of(config):
    """The suites for choosing of the clips (not the images) that a config trains on."""
    data = config["data"]
    clips = sources.video_bucket(data["buckets"]).shape
    made = {"buckets": [clips], "fps": sources.clip_fps(data)}
    forms = {name: cases.SUITES[name][0] for name in cases.dev_suites()}
    return [name for name, form in forms.items() if not cases.misfits(name, form, config, made)]


@pytest.mark.slow
def test_the_script_runs_its_commands_itself(tmp_path):
    assert_made(tmp_path, run_script(tmp_path))


def test_chain_makes_clips_and_reports(chain):
    assert_made(*chain)


def assert_made(root, printed):
    clips = sorted((root / "runs/samples").glob("*.mp4"))
    assert len(clips) == 6
    frames, fps = decode_mp4(clips[0])
    assert frames.shape == (17, 64, 64, 3)
    assert fps == 12
    assert "sheet_*.png" in printed.splitlines()[-1]
    with Image.open(root / "runs/samples/sheet_0000-0005.png") as sheet:
        assert sheet.width > 6 * 64
    specialists = sorted(path.name for path in (root / "runs").glob("sft_*"))
    assert len(specialists) >= 4
    for run in ("vae", *STAGES, *specialists):
        records = (root / "runs" / run / "metrics.jsonl").read_text().splitlines()
        assert all(np.isfinite(json.loads(line)["loss"]) for line in records)


def test_every_stage_started_from_the_one_before_and_the_lineage_says_so(chain, command):
    root, _ = chain
    for parent, child in itertools.pairwise(STAGES):
        named = run_directory.read_json(root / "runs" / child, "metadata.json")["parents"]
        found = run_directory.read_json(root / "runs" / parent, "metadata.json")["weights"]
        assert named["init_from"]["weights"] == found
    drawn = command("describe", f"--lineage={root}/runs/merged").stdout
    assert all(f"{root}/runs/{name}: " in drawn for name in (*STAGES, "vae"))
    assert drawn.count("merged: ") >= 4
    assert "then" not in drawn


def test_chain_started_again_does_nothing_twice(chain, command):
    root, _ = chain
    before = (root / "runs/pretrain_image/metrics.jsonl").read_text()
    flags = (
        "--config=configs/pretrain_image.py:smoke",
        f"--config.data.data_dir={root}/data",
        f"--config.vae_run={root}/runs/vae",
        f"--workdir={root}/runs/pretrain_image",
    )
    done = command("train", *flags)
    assert done.returncode == 0, done.stderr
    assert "already trained" in done.stdout
    assert (root / "runs/pretrain_image/metrics.jsonl").read_text() == before
    refused = command("train", *flags, "--config.optimizer.peak_lr=0.5")
    assert refused.returncode != 0
    assert "optimizer.peak_lr" in refused.stderr
    mistyped = command("train", *flags, "--config.optimizer.peak_lr=fast")
    assert mistyped.returncode != 0
    assert "peak_lr" in mistyped.stderr
    assert "'fast'" in mistyped.stderr
    assert "Traceback" not in mistyped.stderr
    unknown = command("train", *flags, "--config.optimizer.peak=1.0")
    assert unknown.returncode != 0
    assert "no field 'peak'" in unknown.stderr.splitlines()[-1]
    assert "peak_lr" in unknown.stderr.splitlines()[-1]


def test_clip_is_made_again_from_its_sidecar(chain, command):
    root, _ = chain
    sidecar = json.loads((root / "runs/samples/0002.json").read_text())
    arguments = [
        f"--{name}={sidecar[name]}"
        for name in ("prompt", "num_inference_steps", "guidance_scale", "num_frames")
    ]
    sample = ("sample", f"--workdir={sidecar['workdir']}")
    clips = [decode_mp4(root / "runs/samples/0002.mp4")[0].astype(int)]
    for number, seed in enumerate((sidecar["seed"], sidecar["seed"] + 1)):
        done = command(*sample, *arguments, f"--seed={seed}", f"--output={root}/again")
        assert done.returncode == 0, done.stderr
        clips.append(decode_mp4(root / f"again/{number:04d}.mp4")[0].astype(int))
    first, again, other = clips
    # Not to the last bit: a batch of another size rounds differently, and the mp4 spreads it.
    assert np.abs(again - first).mean() < 1 < 10 < np.abs(other - first).mean()


def test_a_run_told_to_stop_saves_and_goes_on_to_its_end(chain, command):
    root, _ = chain
    workdir = root / "runs/stopped"
    train = ("train", "--config=configs/vae.py:smoke", f"--workdir={workdir}")
    train += (f"--config.data.data_dir={root}/data", "--config.log_every=1")
    train += ("--config.checkpoint_every=1",)
    process = start(sys.executable, "-m", "seedance_jax", *train)
    while process.poll() is None and not steps(workdir):
        time.sleep(0.02)
    process.terminate()
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "stopped at step" in printed
    assert "saved" in printed
    assert len(steps(workdir)) < 12
    resumed = command(*train)
    assert resumed.returncode == 0, resumed.stderr
    assert "trained, 12 steps" in resumed.stdout
    assert steps(workdir) == list(range(1, 13))


def test_bad_frame_count_is_one_line(chain, command):
    root, _ = chain
    done = command(
        "sample",
        f"--workdir={root}/runs/merged",
        "--prompt=a ball",
        "--num_frames=16",
        f"--output={root}/bad",
    )
    assert done.returncode != 0
    assert "16 frames" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
