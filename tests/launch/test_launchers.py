"""What the launchers would do: the commands of --dry-run, the manifest, and what they refuse."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "launch").rglob("*.sh"))
HERE = ("--name=pod", "--zone=us-east5-a")
TRAIN = ("--", "train", "--config=configs/pretrain.py:base", "--workdir=/shared/a b")
GKE = ("--name=pod", "--image=eu/image:1", "--claim=data")


def bash(*command):
    return subprocess.run(["bash", *command], cwd=ROOT, capture_output=True, text=True)


def printed(script, *arguments):
    """The words of every command that a dry run prints."""
    done = bash(f"launch/{script}", *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def dry(command, *arguments):
    where = arguments.index("--") if "--" in arguments else len(arguments)
    options = (*HERE, *arguments[:where], "--dry-run", *arguments[where:])
    done = bash("launch/tpu_vm.sh", command, *options)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def remote(command):
    """The words of the command line that gcloud would run on the workers."""
    line = next(word for word in command if word.startswith("--command="))
    return shlex.split(line[len("--command=") :])


PLACE = "--output=gs://bucket/clips"


def manifest(*options):
    done = bash("launch/gke/jobset.sh", "apply", *GKE, *options, "--dry-run", *TRAIN)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean(script):
    shellcheck = Path(sys.executable).with_name("shellcheck")
    assert bash("-n", str(script)).returncode == 0
    done = subprocess.run([shellcheck, "-x", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("accelerator", "runtime"),
    [
        ("v4-8", "tpu-ubuntu2204-base"),
        ("v5litepod-256", "v2-alpha-tpuv5-lite"),
        ("v5p-128", "v2-alpha-tpuv5"),
        ("v6e-256", "v2-alpha-tpuv6e"),
        ("tpu7x-64", "v2-alpha-tpu7-ubuntu2404"),
    ],
)
def test_create_asks_for_the_runtime_of_the_generation(accelerator, runtime):
    (command,) = dry("create", f"--accelerator={accelerator}", "--spot")
    assert command[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "pod"]
    assert {
        "--node-id=pod",
        "--zone=us-east5-a",
        f"--accelerator-type={accelerator}",
        f"--runtime-version={runtime}",
        "--spot",
    } == set(command[6:])


def test_create_passes_the_rest_on():
    options = ("--accelerator=v5p-8", "--reserved", "--service-account=me@x.com", "--project=p")
    (command,) = dry("create", *options, "--", "--network=n")
    for word in ("--reserved", "--service-account=me@x.com", "--project=p", "--network=n"):
        assert word in command


def test_install_copies_the_commit_to_every_worker():
    archive, copy, unpack, install = dry("install", "--extras=tpu,world")
    assert archive[-1] == "HEAD"
    assert "scp" in copy
    assert "--worker=all" in copy
    assert "tar" in remote(unpack)
    assert remote(install) == ["bash", "seedance-jax/launch/worker.sh", "install", "tpu,world"]


def test_install_can_clone():
    clone, install = dry("install", "--url=https://x/y.git", "--revision=v1")
    assert "https://x/y.git" in remote(clone)
    assert "v1" in remote(clone)
    assert remote(install)[-1] == "tpu"


@pytest.mark.parametrize(("accelerator", "name"), [("v5litepod-16", "v5e"), ("v6e-8", "v6e")])
def test_run_starts_everywhere_once_every_worker_is_idle(accelerator, name):
    idle, start = dry("run", f"--accelerator={accelerator}", *TRAIN)
    assert "--worker=all" in idle
    assert remote(idle)[-1] == "idle"
    assert "--worker=all" in start
    assert remote(start)[2:] == ["start", name, *TRAIN[1:]]


def test_the_other_commands():
    (logs,) = dry("logs")
    assert "--worker=0" in logs
    assert remote(logs)[-1] == "logs"
    (stop,) = dry("stop")
    assert "--worker=all" in stop
    assert remote(stop)[-1] == "stop"
    describe, status = dry("status")
    assert describe[3:6] == ["queued-resources", "describe", "pod"]
    assert remote(status)[-1] == "status"
    (delete,) = dry("delete")
    assert delete[3:6] == ["queued-resources", "delete", "pod"]


def test_several_slices_are_one_request_and_its_nodes():
    (create,) = dry("create", "--accelerator=v5p-128", "--slices=4")
    assert {"--node-count=4", "--node-prefix=pod"} < set(create)
    assert not [word for word in create if word.startswith("--node-id")]
    _, copy, *others = dry("install", "--slices=4")
    for command in (copy, *others, *dry("stop", "--slices=4")):
        assert command[3] == "queued-resources"
        assert {"--node=all", "--worker=all"} < set(command)
    (logs,) = dry("logs", "--slices=4")
    assert {"--node=0", "--worker=0"} < set(logs)
    assert dry("stop", "--slices=1") == dry("stop")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("launch",), "no command 'launch'; legal: create install run"),
        (("create", "--zone=z", "--accelerator=v5p-8"), "--name=... is missing"),
        (("create", *HERE), "--accelerator=... is missing"),
        (("create", *HERE, "--accelerator=v9-8"), "'v9-8'; legal: v4-N v5litepod-N"),
        (("create", *HERE, "--accelerator=v5e"), "'v5e'; legal: v4-N v5litepod-N"),
        (("create", *HERE, "--accelerator=v6e-12"), "12 chips; legal numbers: 1 4 8"),
        (("create", *HERE, "--accelerator=v5p-12"), "12 cores; legal numbers: multiples of 8"),
        (("create", *HERE, "--accelerator=v6e-8", "--spot", "--reserved"), "exclude each other"),
        (("create", *HERE, "--sport"), "no option --sport; legal: --name="),
        (("create", *HERE, "--accelerator="), "--accelerator= is empty"),
        (("run", *HERE, "--accelerator=v6e-8"), "no command ''"),
        (("run", *HERE, "--accelerator=v6e-8", "--", "trian"), "no command 'trian'.* train"),
        (
            ("run", *HERE, "--accelerator=v6e-8", "--", "train", "--config=configs/sftt.py:base"),
            "configs/sftt.py:base: no such file; legal: .*configs/pretrain.py",
        ),
        (("stop", *HERE, "--slices=0"), "--slices=0; legal: 1, 2, ..."),
        (("stop", *HERE, "--", "now"), "stop takes nothing after --"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    done = bash("launch/tpu_vm.sh", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.match("error: .*" + message.replace("...", r"\.\.\."), done.stderr), done.stderr


@pytest.mark.parametrize(
    ("generation", "topology", "label", "nodes", "chips"),
    [
        ("v4", "2x2x4", "tpu-v4-podslice", 4, 4),
        ("v5e", "1x1", "tpu-v5-lite-podslice", 1, 1),
        ("v5e", "2x4", "tpu-v5-lite-podslice", 2, 4),
        ("v5e", "16x16", "tpu-v5-lite-podslice", 64, 4),
        ("v5p", "4x4x8", "tpu-v5p-slice", 32, 4),
        ("v6e", "8x16", "tpu-v6e-slice", 32, 4),
        ("tpu7x", "2x4x4", "tpu7x", 8, 4),
    ],
)
def test_a_manifest_has_a_pod_for_every_host(generation, topology, label, nodes, chips):
    jobset = manifest(f"--accelerator={generation}", f"--topology={topology}", f"--nodes={nodes}")
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["parallelism"] == job["completions"] == nodes
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": label,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"google.com/tpu": chips}
    assert container["args"] == [generation, *TRAIN[1:]]
    assert container["image"] == "eu/image:1"
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data"}
    assert "${" not in str(jobset)


def test_a_2x4_can_be_one_host_of_eight_chips():
    jobset = manifest("--accelerator=v6e", "--topology=2x4", "--chips-per-node=8")
    assert jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["parallelism"] == 1


def test_a_manifest_of_several_slices_has_a_job_for_each():
    for options, replicas in (((), 1), (("--slices=4",), 4)):
        jobset = manifest("--accelerator=v5e", "--topology=4x4", *options)
        (job,) = jobset["spec"]["replicatedJobs"]
        assert job["replicas"] == replicas
        assert job["template"]["spec"]["completions"] == 4


def test_words_with_quotes_survive_the_manifest():
    prompt = """--prompt=it's "red": #1, [a] ${name} \\n"""
    options = ("--accelerator=v6e", "--topology=2x2", "--dry-run", "--", "sample", prompt, PLACE)
    done = bash("launch/gke/jobset.sh", "apply", *GKE, *options)
    job = yaml.safe_load(done.stdout)["spec"]["replicatedJobs"][0]["template"]["spec"]
    arguments = job["template"]["spec"]["containers"][0]["args"]
    # Kubernetes reads $$ as $, and $(NAME) as a variable.
    assert arguments == ["v6e", "sample", prompt.replace("$", "$$"), PLACE]


def test_a_pod_does_not_write_what_goes_with_it():
    for command, message in (
        (("train", "--config=configs/vae.py:base"), "--workdir=... is missing, where it writes"),
        (("sample", "--output=clips"), "--output=clips is on the disk of a host, which goes with"),
    ):
        options = ("--accelerator=v6e", "--topology=2x2", "--dry-run", "--", *command)
        done = bash("launch/gke/jobset.sh", "apply", *GKE, *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {message}"), done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--accelerator=v7", "--topology=2x2"), "no TPU generation 'v7'; legal: v4 v5e"),
        (("--accelerator=v5e", "--topology=4x4x4"), "'4x4x4' of v5e; legal: 1x1 2x2"),
        (("--accelerator=v5p", "--topology=16x16"), "'16x16' of v5p; legal: 2x2x1"),
        (("--accelerator=v5p", "--topology=8x4x4"), "'8x4x4' of v5p; legal: 2x2x1.*A <= B <= C"),
        (("--accelerator=v5p", "--topology=1x1x1"), "'1x1x1' of v5p"),
        (("--accelerator=v6e", "--topology=4x4", "--nodes=2"), "--nodes=2: .*16 chips.*legal: 4"),
        (
            ("--accelerator=v6e", "--topology=4x4", "--chips-per-node=8"),
            "--chips-per-node=8 for v6e 4x4; legal: 4",
        ),
        (("--accelerator=v6e",), "--topology=... is missing"),
        (("--accelerator=v6e", "--topology=2x2", "--slices=two"), "--slices=two; legal: 1, 2"),
        (("--accelerator=v6e", "--topology=2x2", "--restarts=x"), "--restarts=x; legal: 0, 1"),
    ],
)
def test_a_manifest_that_cannot_run_is_refused(options, message):
    done = bash("launch/gke/jobset.sh", "apply", *GKE, *options, "--dry-run", *TRAIN)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.match("error: .*" + message.replace("...", r"\.\.\."), done.stderr), done.stderr


def test_the_other_commands_of_gke():
    (logs,) = printed("gke/jobset.sh", "logs", "--name=pod")
    assert logs[:2] == ["kubectl", "logs"]
    for first in ("job-index=0", "job-completion-index=0"):
        assert first in " ".join(logs)
    (status,) = printed("gke/jobset.sh", "status", "--name=pod")
    assert status[:3] == ["kubectl", "get", "jobset,pods"]
    (delete,) = printed("gke/jobset.sh", "delete", "--name=pod")
    assert delete == ["kubectl", "delete", "jobset", "pod"]
    refused = bash("launch/gke/jobset.sh", "delete", "--name=Pod_1")
    assert "--name=Pod_1; legal" in refused.stderr


COMPILE = """
import sys, jax, jax.numpy as jnp, numpy
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
mesh = Mesh(numpy.array(topologies.get_topology_desc(sys.argv[1], "tpu").devices), "x")
frames, windows = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ["x", (None, "x")])
x = jax.ShapeDtypeStruct((32, 512, 512), jnp.bfloat16, sharding=frames)
w = jax.ShapeDtypeStruct((512, 512), jnp.bfloat16, sharding=frames)
move = lambda x: jax.lax.with_sharding_constraint(x, windows)
step = jax.jit(lambda x, w: (jnp.tanh(move(x) @ w), x @ w))
program = step.lower(x, w).compile()
unreadable = "tpu7x" in sys.argv[1] and jax.__version_info__ < (0, 11)
print("compiled", "" if unreadable else program.as_text())
"""


@pytest.mark.parametrize(
    ("generation", "topology"),
    [("v4", "2x2x1"), ("v5e", "2x2"), ("v5p", "2x2x1"), ("v6e", "2x2"), ("tpu7x", "2x2x1")],
)
def test_libtpu_accepts_the_flags_and_they_work(generation, topology):
    """A real compile for the generation: an unknown flag would end it, and activations that move
    from frames to windows are on their way while something else is computed."""
    pytest.importorskip("libtpu", reason="extra: tpu")
    quiet = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "JAX_PLATFORMS": "cpu"}
    quiet |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "true"}
    source = ". launch/shell.sh; . launch/environment.sh; "
    script = source + 'tpu_environment "$1"; exec "$2" -c "$3" "$4"'
    arguments = ("bash", generation, sys.executable, COMPILE, f"{generation}:{topology}")
    command = ["bash", "-c", script, *arguments]
    environment = os.environ | quiet
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("compiled")
    if done.stdout.strip() != "compiled":  # unreadable
        asynchronous = generation in ("v5p", "v6e", "tpu7x")
        assert ("all-to-all-start" in done.stdout) == asynchronous
