"""What a run survives: checkpoints that are damaged, kills at any moment, storage that refuses."""

import contextlib
import random
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seedance_jax import sharding
from seedance_jax.training import checkpoint, cluster, loop, run_directory, saver, stored
from tests.training.test_cluster import PATIENCE, start
from tests.training.test_loop import Recorder, assert_same, quadratic, run  # noqa: F401


@pytest.fixture(scope="module")
def finished(one_device, tmp_path_factory):
    """(directory, last state) of a run of 7 steps with the checkpoints of 6 and 7."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    save = saver.Saver(workdir, every=2)
    settings = loop.Settings(num_steps=7, seed=0, mesh=one_device, ema_decay=0.5)
    state = loop.train(quadratic(), workdir, settings, save).state
    save.close()
    return workdir, state


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def flip_largest(folder):
    """Changes one bit of a folder's largest file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    flip(max(files, key=lambda path: path.stat().st_size))


def empty(path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGES = {
    "a manifest that is cut off": ("state/manifest.ocdbt", truncate),
    "arrays that are cut off": ("state/d/*", truncate),
    "an empty directory": ("state", empty),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_put_aside_loudly_and_the_one_before_goes_on(
    run,  # noqa: F811
    finished,
    tmp_path,
    capfd,
    name,
):
    pattern, damage = DAMAGES[name]
    shutil.copytree(finished[0], tmp_path / "run")
    for path in (tmp_path / "run/checkpoints/7").glob(pattern):
        damage(path)
    recorder = Recorder()
    assert_same(run(tmp_path / "run", recorder), finished[1])
    assert list(recorder.losses) == [7]
    assert (tmp_path / "run/damaged/7/state").is_dir()
    assert run_directory.all_steps(tmp_path / "run") == [6, 7]
    errors = capfd.readouterr().err
    assert "WARNING: the checkpoint of step 7 cannot be read" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", DAMAGES)
def test_weights_of_a_damaged_checkpoint_are_an_error_that_names_it(
    finished, tmp_path, capfd, name
):
    pattern, damage = DAMAGES[name]
    shutil.copytree(finished[0], tmp_path / "run")
    assert_same(checkpoint.load(tmp_path / "run"), finished[1].ema)
    for path in (tmp_path / "run/checkpoints/7").glob(pattern):
        damage(path)
    for read in (checkpoint.load, checkpoint.stored_tree):
        with pytest.raises(OSError, match=r"cannot read the checkpoint .*run/checkpoints/7: "):
            read(tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err
    assert run_directory.all_steps(tmp_path / "run") == [6, 7]


def test_a_checkpoint_is_not_damaged_because_the_storage_was_away(
    run,  # noqa: F811
    finished,
    tmp_path,
    monkeypatch,
):
    shutil.copytree(finished[0], tmp_path / "run")
    read, asked = stored.read_state, []

    def away_at_first(state, workdir, step):
        asked.append(step)
        if len(asked) == 1:
            raise OSError("the storage is away")
        return read(state, workdir, step)

    monkeypatch.setattr(stored, "read_state", away_at_first)
    recorder = Recorder()
    assert_same(run(tmp_path / "run", recorder), finished[1])
    assert asked == [7, 6, 7]
    assert not recorder.losses  # no step is done twice
    assert not (tmp_path / "run/damaged").exists()


def test_what_keeps_process_0_from_moving_a_checkpoint_is_told_to_all(
    run,  # noqa: F811
    finished,
    tmp_path,
    monkeypatch,
):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/checkpoints/7/state/_METADATA").unlink()
    (tmp_path / "run/damaged").touch()
    told, broadcast = [], cluster.broadcast
    monkeypatch.setattr(cluster, "broadcast", lambda value: told.append(value) or broadcast(value))
    with pytest.raises(FileExistsError, match="damaged"):
        run(tmp_path / "run")
    assert "damaged" in told[-1]["error"]
    assert run_directory.all_steps(tmp_path / "run") == [6, 7]


def test_without_any_good_checkpoint_nothing_is_trained_over_the_bad_ones(
    run,  # noqa: F811
    finished,
    tmp_path,
):
    shutil.copytree(finished[0], tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").glob("*/state/_METADATA"):
        path.unlink()
    with pytest.raises(OSError, match=r"no checkpoint of .* can be read:\n  step 7: .*\n  step 6:"):
        run(tmp_path / "run")
    assert run_directory.all_steps(tmp_path / "run") == [6, 7]


def test_a_single_bit_of_a_large_array_is_noticed(one_device, tmp_path):
    state = {"w": jax.random.normal(jax.random.key(0), (512, 512)), "n": jnp.int32(3)}
    state = jax.device_put(state, sharding.replicated(one_device))
    batches = quadratic().batches(1)
    save = saver.Saver(tmp_path, every=1, keep=2)
    for step in (1, 2):
        save(step, state, batches)
    save.close()
    flip_largest(tmp_path / "checkpoints/2/state")
    with pytest.raises(ValueError, match="1 arrays are not those that were saved"):
        stored.read_state(state, tmp_path, 2)
    for name in ("2", "20"):  # those that were put aside before stay where they are
        (tmp_path / "damaged" / name).mkdir(parents=True)
    assert_same(checkpoint.restore(state, tmp_path)[0], state)
    assert run_directory.all_steps(tmp_path) == [1]
    assert (tmp_path / "damaged/2.1/state").is_dir()


@pytest.mark.parametrize("placed", [False, True])
def test_a_single_bit_of_weights_to_start_from_is_noticed(one_device, tmp_path, placed):
    weights = {"other": np.ones(3, np.float32)}
    # What cannot be compressed is stored as it is, so reading does not notice by itself.
    weights["w"] = np.random.default_rng(0).integers(-(2**31), 2**31, (512, 512), np.int32)
    checkpoint.save_weights(tmp_path, weights)
    like = jax.device_put(weights, sharding.replicated(one_device)) if placed else None
    assert_same(checkpoint.load(tmp_path, like), weights)
    flip_largest(tmp_path / "checkpoints/0/state")
    with pytest.raises(OSError, match=r"checkpoints/0: 1 arrays are not .*: \.ema\['w'\] int32"):
        checkpoint.load(tmp_path, like)
    if not placed:
        assert list(checkpoint.load(tmp_path, parts=("other",))) == ["other"]


def test_a_checkpoint_is_read_onto_another_mesh_and_as_another_type(one_device, tmp_path):
    state = {"w": jax.random.normal(jax.random.key(0), (8, 4)), "n": jnp.int32(3)}
    state = jax.device_put(state, sharding.replicated(one_device))
    save = saver.Saver(tmp_path, every=1)
    save(1, state, quadratic().batches(1))
    save.close()
    mesh = sharding.make_mesh(fsdp=-1)
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp"))
    whole = sharding.replicated(mesh)
    other = {"w": jax.device_put(jnp.zeros((8, 4), jnp.bfloat16), place)}
    other["n"] = jax.device_put(jnp.int32(0), whole)
    read, _ = checkpoint.restore(other, tmp_path)
    assert read["w"].sharding == place
    assert read["w"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(read["w"], state["w"].astype(jnp.bfloat16))
    assert int(read["n"]) == 3


def test_the_last_and_every_so_many_steps_are_kept(one_device, tmp_path):
    state = jax.device_put({"w": jnp.ones(2)}, sharding.replicated(one_device))
    save = saver.Saver(tmp_path, every=1, keep=2, keep_every=4)
    for step in range(1, 12):
        save(step, state, quadratic().batches(step))
    save.close()
    assert run_directory.all_steps(tmp_path) == [4, 8, 10, 11]


def test_the_batches_go_on_where_they_were_saved_whatever_a_killed_process_left(
    one_device, tmp_path
):
    state = jax.device_put({"w": jnp.ones(2)}, sharding.replicated(one_device))
    batches, left = quadratic().batches(0), tmp_path / "checkpoints/4.orbax-checkpoint-tmp"
    next(batches), next(batches)
    left.mkdir(parents=True)
    save = saver.Saver(tmp_path, every=1)
    save(2, state, batches)
    save.close()
    assert not left.exists()
    again = quadratic().batches(0)
    save = saver.Saver(tmp_path, every=1)
    save.resume(again, 2)
    save.close()
    np.testing.assert_array_equal(next(again)["x"], next(batches)["x"])


def test_storage_that_refuses_leaves_the_last_checkpoint_and_says_which(
    run,  # noqa: F811
    finished,
    tmp_path,
):
    shutil.copytree(finished[0], tmp_path / "run")
    folder, away = tmp_path / "run/checkpoints", tmp_path / "away"

    def refuse():
        folder.rename(away)
        while not folder.is_file():
            shutil.rmtree(folder, ignore_errors=True)  # a writer may have made it again
            with contextlib.suppress(IsADirectoryError):
                folder.write_text("in the way")

    with pytest.raises(OSError, match=r"cannot write a checkpoint to .*/run"):
        run(tmp_path / "run", Recorder(9, refuse), num_steps=12)
    folder.unlink()
    away.rename(folder)
    assert run_directory.all_steps(tmp_path / "run")[-1] in (7, 8)
    resumed = Recorder()
    run(tmp_path / "run", resumed, num_steps=12)
    assert max(resumed.losses) == 12


def test_a_checkpoint_that_cannot_be_written_says_what_is_safe(one_device, tmp_path, monkeypatch):
    def refuse():
        raise OSError("disk full")

    state = jax.device_put({"w": jnp.ones(2)}, sharding.replicated(one_device))
    save = saver.Saver(tmp_path, every=1)
    for step, safe in ((1, "none is there yet"), (2, "that of step 1 is safe")):
        manager = save._manager
        with monkeypatch.context() as patch:
            patch.setattr(manager, "wait_until_finished", refuse)
            with pytest.raises(OSError, match=rf"to {tmp_path} \({safe}\); .*: disk full"):
                save.close()
        save(step, state, quadratic().batches(step))
        manager.wait_until_finished()
    save.close()


def rehearse_kills(workdir, kills, rng):
    """Kills a run that saves all the time, at random moments; the newest checkpoint loads."""
    flags = ("--config.num_steps=100000", "--config.checkpoint_every=1", "--config.width=256")
    seen = 0
    for _ in range(kills):
        process = start(workdir, *flags, devices=2)
        try:
            deadline = time.monotonic() + PATIENCE
            while (run_directory.latest_step(workdir) or 0) <= seen:
                assert time.monotonic() < deadline
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.0))
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        newest = run_directory.latest_step(workdir)
        assert newest > seen
        assert np.isfinite(checkpoint.load(workdir)["w"]).all()
        seen = newest
    assert not (workdir / "damaged").exists()


def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path):
    rehearse_kills(tmp_path / "run", 3, random.Random(0))


@pytest.mark.slow
def test_twenty_kills_leave_a_checkpoint_that_loads(tmp_path):
    rehearse_kills(tmp_path / "run", 20, random.Random(1))
