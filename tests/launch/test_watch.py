"""`tpu_vm.sh watch` beside a gcloud that plays the states of a slice and of its job."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each call takes the next line of what it plays; the last line stays.
GCLOUD = """#!{python} -IS
import pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
verb, line = words[3], " ".join(words)

def note(text):
    with (here / "calls").open("a") as file:
        file.write(text + "\\n")

def play(name):
    first, *others = (here / name).read_text().split()
    if others:
        (here / name).write_text(" ".join(others))
    return first

if verb == "describe":
    state = play("slice")
    if state in ("NOT_FOUND", "DENIED"):
        sys.exit(f"ERROR: {{state}}: slice")
    print(state)
elif verb == "ssh" and "worker.sh state" in line:
    answer = play("hosts")
    if answer == "refused":
        sys.exit("ssh: connection refused")
    for number, word in enumerate(answer.split(",")):
        print(f"state: host{{number}} {{word}}")
elif verb == "ssh" and ("worker.sh last" in line or "worker.sh tail" in line):
    print("step 7 of 9")
elif verb == "ssh":
    known = [c for c in ("install", "idle", "start", "stop") if f"worker.sh {{c}}" in line]
    note(known[0] + " " + line if known else "unpack")
else:
    note(verb + " " + line if verb == "create" else verb)
"""
OPTIONS = ("--name=pod", "--zone=z", "--accelerator=v6e-8", "--poll=0")
TRAIN = ("train", "--config=configs/pretrain.py:base", "--workdir=gs://bucket/run")
BEGIN = ["scp", "unpack", "install", "idle", "start"]


@pytest.fixture
def watch(tmp_path):
    """Function (states of the slice, states of the job) -> (finished process, [calls])."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(GCLOUD.format(python=sys.executable))
    gcloud.chmod(0o755)

    def call(slice_states, job_states="new", *options, job=TRAIN):
        (tmp_path / "slice").write_text(slice_states)
        (tmp_path / "hosts").write_text(job_states)
        (tmp_path / "calls").write_text("")
        command = ["bash", "launch/tpu_vm.sh", "watch", *OPTIONS, *options, "--", *job]
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        environment |= {"TMPDIR": str(tmp_path)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        return done, [line.split()[0] for line in calls], calls

    return call


def test_it_asks_waits_installs_starts_follows_and_deletes(watch):
    states = "NOT_FOUND ACCEPTED WAITING_FOR_RESOURCES PROVISIONING ACTIVE"
    options = ("--spot", "--create-flags=--network=n --labels=a=b")
    done, calls, [create, *_] = watch(
        states, "new,new running,running finished,running finished", *options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert calls == ["create", *BEGIN, "delete"]
    for word in ("--accelerator-type=v6e-8", "--spot", "--network=n", "--labels=a=b"):
        assert word in create.split()
    said = done.stdout
    order = ["asking", "WAITING", "ACTIVE", "installing", "step 7 of 9", "finished", "deleting"]
    places = [said.index(word) for word in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("options", "workdir", "extras"),
    [
        ((), "gs://bucket/run", "tpu,gcs"),
        (("--extras=tpu,world",), "gs://bucket/run", "tpu,world,gcs"),
        (("--extras=gcs,tpu",), "gs://bucket/run", "gcs,tpu"),
        ((), "/shared/run", "tpu"),
    ],
)
def test_hosts_get_what_reads_buckets_where_the_job_names_one(watch, options, workdir, extras):
    job = ("train", f"--workdir={workdir}")
    _, _, calls = watch("ACTIVE", "new finished", *options, job=job)
    [install] = [call for call in calls if call.startswith("install")]
    assert install.endswith(f"worker.sh install {extras}")


def test_a_slice_that_is_there_is_used_and_may_be_kept(watch):
    done, calls, _ = watch("ACTIVE", "running finished", "--keep")
    assert done.returncode == 0
    assert calls == []


def test_several_slices_come_and_go_together(watch):
    states = "NOT_FOUND ACTIVE SUSPENDED NOT_FOUND ACTIVE"
    answers = "new,new,new,new finished,finished,finished,finished"
    done, calls, [create, *_] = watch(states, answers, "--slices=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert calls == ["create", *BEGIN, "delete", "create", "delete"]
    assert {"--node-count=2", "--node-prefix=pod"} < set(create.split())


@pytest.mark.parametrize("lost", ["SUSPENDED", "SUSPENDING", "FAILED"])
def test_a_lost_slice_is_deleted_and_asked_for_again(watch, lost):
    done, calls, _ = watch(
        f"ACTIVE {lost} DELETING NOT_FOUND ACTIVE", "running new running finished"
    )
    assert done.returncode == 0, done.stderr
    assert calls == ["delete", "create", *BEGIN, "delete"]


def test_a_host_that_stays_silent_is_dead(watch):
    answers = "running " + 10 * "refused " + "new running finished"
    states = 11 * "ACTIVE " + "NOT_FOUND ACTIVE"
    done, calls, _ = watch(states, answers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert calls == ["delete", "create", *BEGIN, "delete"]
    assert "ssh: connection refused (time 10 of 10)" in done.stdout


def test_a_host_that_says_nothing_that_is_known_is_dead(watch):
    answers = "running " + 10 * "asleep " + "new running finished"
    done, calls, _ = watch(11 * "ACTIVE " + "NOT_FOUND ACTIVE", answers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert calls == ["delete", "create", *BEGIN, "delete"]
    assert "'asleep', which says nothing (time 10 of 10)" in done.stdout


def test_a_host_that_is_silent_for_a_while_is_waited_for(watch):
    done, calls, _ = watch("ACTIVE", "running refused refused running finished")
    assert done.returncode == 0
    assert calls == ["delete"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("running,idle", ["stop", "idle", "start"]),  # a host has booted again
        ("running,interrupted", ["stop", "idle", "start"]),
        ("interrupted", ["idle", "start"]),
        ("finished,interrupted", ["idle", "start"]),
        ("idle,new", BEGIN),
    ],
)
def test_a_job_that_is_not_whole_is_started_on_all_hosts(watch, answer, expected):
    done, calls, _ = watch("ACTIVE", f"{answer} running finished")
    assert done.returncode == 0, done.stderr
    assert calls == [*expected, "delete"]


def test_a_host_that_is_about_to_leave_is_left_alone(watch):
    done, calls, _ = watch("ACTIVE", "running running,leaving leaving idle running finished")
    assert (done.returncode, calls) == (0, ["idle", "start", "delete"])
    assert done.stdout.count("told that it ends soon") == 1


def test_a_network_that_was_down_is_no_host_that_is(watch):
    """The first host that does not answer then is not the tenth."""
    done, calls, _ = watch(9 * "DENIED " + "ACTIVE", "refused running finished")
    assert (done.returncode, calls) == (0, ["delete"])


def test_a_job_that_fails_again_and_again_is_given_up_and_its_slice_stays(watch):
    done, calls, _ = watch("ACTIVE", "failed", "--failures=2")
    assert done.returncode == 1
    assert calls == ["stop", "idle", "start"]
    assert "failed 2 times in a row" in done.stderr
    assert "step 7 of 9" in done.stderr  # the end of its log


def test_what_a_person_stopped_stays_stopped(watch):
    done, calls, _ = watch("ACTIVE", "running stopped,running")
    assert (done.returncode, calls) == (0, [])
    assert "stopped by hand" in done.stdout


def test_attempts_are_bounded(watch):
    lost = "NOT_FOUND FAILED " * 3
    done, calls, _ = watch(lost, "new", "--attempts=2")
    assert done.returncode == 1
    assert calls == ["create", "delete"] * 2
    assert "not done after 2 attempts" in done.stderr


def test_a_gcloud_that_does_not_answer_is_no_lost_slice(watch):
    done, calls, _ = watch("ACTIVE DENIED DENIED ACTIVE", "running finished")
    assert (done.returncode, calls) == (0, ["delete"])
    done, calls, _ = watch("DENIED")
    assert (done.returncode, calls) == (1, [])
    assert "ten times in a row: gcloud does not answer" in done.stderr


@pytest.mark.parametrize(
    ("options", "job", "message"),
    [
        ((), ("train", "--workdir=runs/a"), "--workdir=runs/a is on the disk of a host.*gs://"),
        (("--attempts=many",), TRAIN, "--attempts=many; legal: 0, 1"),
        (("--dry-run",), TRAIN, "--dry-run is of create, install"),
        ((), ("trian",), "no command 'trian'"),
        ((), ("sample", "--workdir=gs://b/r", "--prompt=a"), "--output=... is missing, where"),
        ((), ("encode", "--config=configs/pretrain.py:base"), "--config.data.data_dir=... is miss"),
        (
            (),
            ("train", "--workdir=/shared/r", "--output", "r"),
            "'r' is no flag; write --flag=value",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(watch, options, job, message):
    done, calls, _ = watch("ACTIVE", "new", *options, job=job)
    assert (done.returncode, calls, done.stdout) == (1, [], "")

    assert re.search(message, done.stderr), done.stderr
