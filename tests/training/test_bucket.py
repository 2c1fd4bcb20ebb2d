"""Runs in a bucket: what a run directory on this machine does, and what buckets do of their own."""

import functools
import json
import pathlib
import re
import shutil
import time
import urllib.request

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from seedance_jax.sampling import media
from seedance_jax.stages import job
from seedance_jax.training import (
    checkpoint,
    compiling,
    hooks,
    lock,
    places,
    release,
    run_directory,
    uploads,
)
from tests.emulator import BUCKET
from tests.stages.test_job import config, toy  # noqa: F401
from tests.training.test_loop import (  # noqa: F401
    NUM_STEPS,
    KilledError,
    Recorder,
    assert_same,
    quadratic,
    run,
    whole,
)


def kill():
    raise KilledError


def test_a_run_in_a_bucket_is_the_same_and_goes_on_after_a_kill(run, whole, bucket):  # noqa: F811
    losses, state = whole
    with pytest.raises(KilledError):
        run(bucket, Recorder(5, kill))
    assert run_directory.all_steps(bucket) == [2, 4]
    recorder = Recorder()
    assert_same(run(bucket, recorder), state)
    assert recorder.losses == {step: losses[step] for step in (5, 6, 7)}
    assert_same(checkpoint.load(bucket), state.ema)


def test_a_checkpoint_of_a_bucket_counts_once_it_is_committed(run, bucket):  # noqa: F811
    run(bucket)
    last = places.place(bucket) / "checkpoints" / str(NUM_STEPS)
    (last / run_directory.COMMITTED).unlink()
    assert run_directory.all_steps(bucket) == [6]
    recorder = Recorder()
    run(bucket, recorder)
    assert list(recorder.losses) == [NUM_STEPS]
    assert run_directory.all_steps(bucket) == [6, NUM_STEPS]


def test_a_damaged_checkpoint_of_a_bucket_is_put_aside(run, whole, bucket, capfd):  # noqa: F811
    run(bucket)
    path = places.place(bucket)
    last = path / "checkpoints" / str(NUM_STEPS) / "state"
    names = [name for name in places.names(last) if name.startswith("d/")]
    for name in names:
        (last / name).write_bytes((last / name).read_bytes()[:20])
    recorder = Recorder()
    assert_same(run(bucket, recorder), whole[1])
    assert list(recorder.losses) == [NUM_STEPS]
    assert {f"state/{name}" for name in names} < set(places.names(path / "damaged/7"))
    assert f"and is now {path}/damaged/7" in capfd.readouterr().err


def test_a_run_outlives_storage_that_is_away_for_a_while(run, whole, bucket, emulator):  # noqa: F811
    recorder = Recorder(4, lambda: emulator.pause(3))  # its checkpoint is still to be written
    assert_same(run(bucket, recorder), whole[1])
    assert recorder.losses == whole[0]
    assert run_directory.all_steps(bucket) == [6, 7]


def test_a_log_of_a_bucket_is_uploaded_and_goes_on_from_the_last_checkpoint(bucket, monkeypatch):
    monkeypatch.setattr(uploads, "REST", 0.0)

    def log(steps):
        hook = hooks.LogHook(bucket, num_steps=9, every=1, max_skipped=9, name="toy")
        for step in steps:
            hook(step, None, {"loss": np.float32(step), "skipped": 0, "streak": 0})
        return hook

    def logged():
        lines = (places.place(bucket) / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["step"] for line in lines]

    log((1, 2, 3))  # and killed: the last is not yet fetched
    assert logged() in ([1], [1, 2])
    log((2, 3, 4)).close()
    assert logged() == [1, 2, 3, 4]
    assert len(places.names(places.place(bucket) / "tensorboard")) >= 1


def test_what_cannot_be_uploaded_waits_and_at_the_end_is_kept(bucket, emulator, monkeypatch, capfd):
    monkeypatch.setattr(uploads, "REST", 0.0)
    monkeypatch.setattr(uploads, "SHARE", 1.0)
    mirror = uploads.Mirror(bucket)
    path = mirror.fetch("log")
    path.write_text("1")

    def fail(self, content):
        raise OSError("unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(type(places.place(bucket)), "write_bytes", fail)
        mirror.upload()
        assert f"WARNING: {bucket} is not up to date: unreachable" in capfd.readouterr().err
        with pytest.raises(OSError, match=f"cannot upload {path.parent} to {bucket}: unreachable"):
            mirror.close()
    assert path.read_text() == "1"
    mirror.close()
    assert (places.place(bucket) / "log").read_text() == "1"
    assert not path.exists()


def test_a_training_whose_log_cannot_be_uploaded_is_finished_and_says_where_it_is(
    toy,  # noqa: F811
    bucket,
    monkeypatch,
    capfd,
):
    workdir = places.place(bucket)
    kept = type(workdir).write_bytes

    def fail(self, content):
        if self.name == "metrics.jsonl":
            raise OSError("unreachable")
        return kept(self, content)

    monkeypatch.setattr(type(workdir), "write_bytes", fail)
    assert "trained" in toy(quadratic(), workdir)
    assert (workdir / "metadata.json").exists()
    told = re.search(
        f"cannot upload .* to {bucket}: unreachable; .* in (.*)", capfd.readouterr().err
    )
    log = pathlib.Path(told[1], "metrics.jsonl")
    assert json.loads(log.read_text().splitlines()[-1])["step"] == NUM_STEPS
    shutil.rmtree(log.parent)


def test_the_log_of_a_run_that_lost_its_directory_stays_on_its_machine(
    toy,  # noqa: F811
    bucket,
    monkeypatch,
    capfd,
):
    workdir = places.place(bucket)
    monkeypatch.setattr(lock, "Lock", functools.partial(lock.Lock, beat=0.1))
    monkeypatch.setattr(uploads, "REST", 0.0)
    monkeypatch.setattr(uploads, "SHARE", 1.0)

    class Taken:
        """At step 3 another run, which takes this one for dead, has the directory and its log."""

        def __init__(self, *made):
            pass

        def __call__(self, step, state, metrics):
            if step == 3:
                (workdir / lock.FOLDER / "00000009.json").write_text('{"host": "other"}')
                (workdir / "metrics.jsonl").write_text("theirs")
                time.sleep(1)

        def close(self):
            pass

    with pytest.raises(ValueError, match="is in use by process . on other .* this one ends"):
        toy(quadratic(), workdir, [Taken], log_every=1)
    assert (workdir / "metrics.jsonl").read_text() == "theirs"
    told = re.search(f"of {bucket}, is in (.*)", capfd.readouterr().err)
    log = pathlib.Path(told[1], "metrics.jsonl")
    assert [json.loads(line)["step"] for line in log.open()] == [1, 2, 3]
    shutil.rmtree(log.parent)


def test_a_bucket_that_is_not_there_is_named_before_anything_is_made(emulator, settings_of_jax):
    with pytest.raises(OSError, match="the compilation cache .*: there is no bucket 'not-there'"):
        compiling.use("gs://not-there/compiled")
    with pytest.raises(OSError, match="the run directory .*: there is no bucket 'not-there'"):
        job.prepare(config(), places.place("gs://not-there/run"))


def test_a_job_in_a_bucket_trains_to_its_end_once(toy, bucket, tmp_path):  # noqa: F811
    workdir = places.place(bucket)
    assert "trained" in toy(quadratic(), workdir)
    assert "already trained" in toy(quadratic(), workdir)
    toy(quadratic(), tmp_path / "run")
    for name in ("config.json", "metadata.json", "identity.json"):
        there = (tmp_path / "run" / name).exists()
        assert there == (workdir / name).exists()
        if there:
            assert run_directory.read_json(workdir, name) == run_directory.read_json(
                tmp_path / "run", name
            )


def test_a_release_in_a_bucket_is_read(bucket):
    params = {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    release.write(bucket, params, 5)
    assert release.step(bucket) == run_directory.latest_step(bucket) == 5
    assert_same(checkpoint.load(bucket), params)


def test_a_run_that_was_not_trained_is_written_to_a_bucket(bucket):
    params = {"w": jnp.arange(4.0)}
    with places.new_directory(places.place(bucket)) as draft:
        checkpoint.save_weights(draft, params)
        run_directory.write_json(draft, "metadata.json", {"step": 0})
    assert run_directory.find_step(bucket) == 0
    assert_same(checkpoint.load(bucket, like=params), params)
    with pytest.raises(ValueError, match=f"{bucket} is not empty; use another --output"):
        run_directory.check_new("--output", places.place(bucket))


def test_samples_in_a_bucket_are_numbered_and_a_claimed_number_is_passed_over(bucket):
    write = lambda: media.write_array(bucket, np.zeros(3), 12, {"prompt": "p"}).name  # noqa: E731
    assert write() == "0000.npy"
    places.create(places.place(bucket) / ".0001.claim")
    assert write() == "0002.npy"
    assert sorted(places.names(places.place(bucket))) == [
        ".0001.claim",
        *("0000.json", "0000.npy", "0002.json", "0002.npy"),
    ]


@pytest.fixture
def settings_of_jax():
    """Those of JAX's cache are as before at the end."""
    names = ("compilation_cache_dir", "persistent_cache_enable_xla_caches")
    names += ("persistent_cache_min_compile_time_secs",)
    before = {f"jax_{name}": getattr(jax.config, f"jax_{name}") for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_compiled_programs_are_kept_in_a_bucket(bucket, settings_of_jax):
    hits = []
    jax.monitoring.register_event_listener(lambda event, **said: hits.append(event))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compiling.use(f"{bucket}/compiled")
    compilation_cache.reset_cache()

    def compute():
        jax.clear_caches()
        return jax.jit(lambda x: jnp.sin(x) * 3)(jnp.arange(5.0))

    first = compute()
    [name] = [name for name in places.names(places.place(f"{bucket}/compiled")) if "lambda" in name]
    assert name.endswith("-cache")
    hits.clear()
    np.testing.assert_array_equal(compute(), first)
    assert "/jax/compilation_cache/cache_hits" in hits


def test_what_others_write_is_seen_at_once(bucket, emulator):
    folder = places.place(bucket)
    (folder / "a").write_text("1")
    assert [path.name for path in folder.iterdir()] == places.names(folder) == ["a"]
    name = f"{bucket.rpartition('/')[2]}/b"
    query = f"uploadType=media&name={name}"
    address = f"{emulator.url}/upload/storage/v1/b/{BUCKET}/o?{query}"
    urllib.request.urlopen(address, data=b"2").close()
    assert [path.name for path in folder.iterdir()] == places.names(folder) == ["a", "b"]


def test_of_several_one_makes_an_object(bucket):
    path = places.place(bucket) / "a"
    assert places.create(path, b"mine")
    assert places.create(path, b"mine")  # as if the answer had been lost
    assert not places.create(path, b"theirs")
    assert path.read_bytes() == b"mine"


def test_a_folder_of_a_bucket_is_read_and_written_on_this_machine(bucket):
    (places.place(bucket) / "clips/a").write_text("1")
    with uploads.mirrored(bucket) as here:
        assert (here / "clips/a").read_text() == "1"
        (here / "b").write_text("2")
        (here / "draft.tmp").write_text("3")
    assert not here.exists()
    held = f"{lock.FOLDER}/00000001.json"
    assert sorted(places.names(places.place(bucket))) == ["b", "clips/a", held]
    places.remove(places.place(bucket))
    assert not places.place(bucket).exists()
