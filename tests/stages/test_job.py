import dataclasses
import json
import shutil
import signal

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs import pretrain
from seedance_jax import sharding
from seedance_jax.data.buckets import Bucket
from seedance_jax.models import conditioning
from seedance_jax.pretrained import lineage, runs
from seedance_jax.stages import job, settings
from seedance_jax.stages.directory import compare
from seedance_jax.stages.job import check_batches, run
from seedance_jax.training import checkpoint, cluster, run_directory
from seedance_jax.training.run_directory import finished, flatten
from seedance_jax.training.stopping import Stop
from tests.training.test_loop import NUM_STEPS, quadratic

CONFIG = {
    "stage": "vae",
    "num_steps": 10,
    "seed": 0,
    "data": {"data_dir": "data", "buckets": ((1, 16, 16, 2, 1.0),)},
    "optimizer": {"name": "adamw", "peak_lr": 0.1},
}


def config(**changes):
    """CONFIG with other values; double underscores descend into sections."""
    changed = ConfigDict(CONFIG)
    changed.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in changes.items()}
    )
    return changed


def prepare(config, workdir):
    """As if a training had begun."""
    job.prepare(config, workdir)
    job.write_config(config, workdir)


def save(workdir, step):
    """As if the run had saved a checkpoint."""
    (workdir / "checkpoints" / str(step)).mkdir(parents=True)


def test_a_new_run_keeps_its_config(tmp_path):
    workdir = tmp_path / "runs" / "new"
    prepare(config(), workdir)
    assert run_directory.read_json(workdir, "config.json") == run_directory.as_json(CONFIG)
    prepare(config(), workdir)


@pytest.mark.parametrize(
    "change", [{"num_steps": 20}, {"data__data_dir": "elsewhere"}], ids=lambda change: str(change)
)
def test_what_does_not_change_the_result_may_change(tmp_path, change):
    prepare(config(), tmp_path)
    save(tmp_path, 10)
    prepare(config(**change), tmp_path)
    assert run_directory.read_json(tmp_path, "config.json") == run_directory.as_json(
        config(**change).to_dict()
    )


def test_a_directory_that_one_process_does_not_see_is_refused_by_all(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "gather", lambda seen: [seen, True, False])
    with pytest.raises(ValueError, match=r"all processes share.*processes \[2\] do not see it"):
        job.write_config(config(), tmp_path)  # in process 0, which does
    assert (tmp_path / "config.json").exists()


def test_an_automatic_type_is_written_and_kept_on_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    for fast in (True, False):
        monkeypatch.setattr(settings.products, "_has_short_products", lambda fast=fast: fast)
        new = pretrain.get_config("smoke")
        new.update_from_flattened_dict({"vae_run": "vae", "model.dtype": "auto"})
        prepare(new, tmp_path)
        (tmp_path / "checkpoints" / "1").mkdir(parents=True, exist_ok=True)
        assert run_directory.read_json(tmp_path, "config.json")["model"]["dtype"] == "bfloat16"


def test_another_config_is_refused_and_every_field_that_differs_is_named(tmp_path):
    prepare(config(), tmp_path)
    save(tmp_path, 10)
    with pytest.raises(ValueError, match="holds a run of another config") as caught:
        prepare(config(seed=7, optimizer__peak_lr=0.5, num_steps=99), tmp_path)
    lines = str(caught.value).splitlines()[1:]
    assert lines == ["  optimizer.peak_lr: 0.1 -> 0.5", "  seed: 0 -> 7"]
    assert run_directory.read_json(tmp_path, "config.json") == run_directory.as_json(CONFIG)


def test_a_run_of_an_older_config_goes_on_and_gets_the_fields_that_it_lacked(tmp_path):
    new = pretrain.get_config("smoke")
    new.vae_run = "vae"
    knowing = new.copy_and_resolve_references()
    knowing.model.conditions = ("fps",)
    old = run_directory.as_json(new.to_dict())
    del old["model"]["conditions"], old["text"]["layers"], old["motion_captions"]
    run_directory.write_json(tmp_path, "config.json", old)
    save(tmp_path, 12)
    with pytest.raises(ValueError, match=r"or undo:\n  model.conditions: \[\] -> \['fps'\]$"):
        prepare(knowing, tmp_path)
    prepare(new, tmp_path)
    assert run_directory.read_json(tmp_path, "config.json") == run_directory.as_json(new.to_dict())


def test_a_config_that_trained_nothing_yet_may_be_corrected(tmp_path):
    prepare(config(mesh={"fsdp": 3}), tmp_path)
    prepare(config(seed=7), tmp_path)
    assert run_directory.read_json(tmp_path, "config.json")["seed"] == 7


def test_fewer_steps_than_were_done_are_refused_and_another_number_is_said(tmp_path, capsys):
    prepare(config(), tmp_path)
    save(tmp_path, 8)
    prepare(config(), tmp_path)
    assert not capsys.readouterr().out
    with pytest.raises(ValueError, match="num_steps=6, but .* is at step 8 already"):
        prepare(config(num_steps=6), tmp_path)
    prepare(config(num_steps=20), tmp_path)
    assert "num_steps: 10 -> 20; the learning rate" in capsys.readouterr().out


def test_the_run_to_start_from_is_looked_for_at_the_start_and_not_needed_later(tmp_path):
    with pytest.raises(FileNotFoundError, match="init_from: run directory 'gone' does not exist"):
        prepare(config(init_from="gone"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    save(tmp_path, 8)
    changed = run_directory.as_json(CONFIG | {"init_from": "gone"})
    run_directory.write_json(tmp_path, "config.json", changed)
    prepare(config(init_from="gone"), tmp_path)


def test_a_run_is_finished_by_the_metadata_of_its_newest_checkpoint(tmp_path):
    save(tmp_path, 10)
    assert not finished(tmp_path)
    run_directory.write_json(tmp_path, "metadata.json", {"step": 10})
    assert finished(tmp_path)
    save(tmp_path, 20)
    assert not finished(tmp_path)


def test_a_field_that_is_new_or_gone_differs():
    one, other = flatten({"a": {"b": 1}, "c": 2}), flatten({"c": 2, "d": 3})
    assert compare(one, other) == [("a.b", 1, None), ("d", None, 3)]


def test_a_hook_of_a_job_may_pin_the_checkpoint_of_its_step(one_device, tmp_path):
    class Pinning:
        def __init__(self, stage, mesh, save):
            assert (stage.makes, mesh) == ("motion", one_device)
            self.save, self.closed = save, False
            made.append(self)

        def __call__(self, step, state, metrics):
            if step == 3:
                self.save.pin(step, "best")

        def close(self):
            self.closed = True

    made = []
    counts = {"num_steps": NUM_STEPS, "log_every": 1, "max_skipped": 1, "accumulate": 1}
    counts |= {"checkpoint_every": 100, "keep_checkpoints": 1, "keep_every": 0}
    own = {"stage": "toy", "seed": 0, "ema_decay": 0.5, "init_from": "", **counts}
    speed = lambda config, makes: (None, None)  # noqa: E731
    before = job.standing(tmp_path)
    run(quadratic(), ConfigDict(own), tmp_path, one_device, speed, [Pinning], before)
    assert run_directory.pinned(tmp_path) == {"best": 3}
    assert run_directory.all_steps(tmp_path) == [3, NUM_STEPS]
    assert made[0].closed


@pytest.fixture
def toy(one_device, monkeypatch):
    """Function (stage, workdir, hooks, speed, chooses, **changes of the config) that trains."""
    speed = lambda config, makes: (None, None)  # noqa: E731

    def train(stage, workdir, make_hooks=(), speed=speed, chooses=False, **changes):
        monkeypatch.setitem(job.STAGES, "toy", lambda config: stage)
        monkeypatch.setattr(sharding, "make_mesh", lambda **sizes: one_device)
        counts = {"num_steps": NUM_STEPS, "log_every": 2, "max_skipped": 1, "accumulate": 1}
        counts |= {"checkpoint_every": 100, "keep_checkpoints": 1, "keep_every": 0}
        own = CONFIG | {"stage": "toy", "ema_decay": 0.5, "init_from": "", "mesh": {}} | counts
        settings = (ConfigDict(own | changes), workdir, speed, make_hooks, chooses)
        return job.train(*settings).message

    return train


def test_a_job_that_is_refused_leaves_no_trace(toy, tmp_path, monkeypatch):
    def refuse(stage, mesh, save):
        raise ValueError("only generators make clips")

    with pytest.raises(ValueError, match="only generators"):
        toy(quadratic(), tmp_path / "new", [refuse])
    monkeypatch.setattr(settings, "check_source", lambda config: None)
    (tmp_path / "old").mkdir()
    run_directory.write_json(tmp_path / "old", "metadata.json", {"autoencoder": "a"})
    stage = dataclasses.replace(quadratic(), identity={"autoencoder": "b"})
    with pytest.raises(ValueError, match="trained with autoencoder a, this run has b"):
        toy(stage, tmp_path / "new", init_from=str(tmp_path / "old"))
    run_directory.write_json(
        tmp_path / "old", "config.json", {"stage": "toy", "vae": {"width": 3, "dtype": 1}}
    )
    checkpoint.save_weights(tmp_path / "old", {"w": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"1 of 1 weights .* differs:\n  vae.width: 3 -> 4$"):
        toy(quadratic(), tmp_path / "new", init_from=str(tmp_path / "old"), vae={"width": 4})
    assert not (tmp_path / "new").exists()


def test_what_is_new_in_a_run_that_starts_from_another_is_said(toy, tmp_path, monkeypatch, capsys):
    knowing = quadratic()
    path, *_ = conditioning.adapter_paths(["fps"])
    knowing = dataclasses.replace(
        knowing,
        init=lambda key: {"w": jnp.zeros(4), "video": {path[-1]: {"kernel": jnp.zeros(4)}}},
        may_lack=(path,),
    )
    monkeypatch.setattr(settings, "check_source", lambda config: None)
    (tmp_path / "old").mkdir()
    run_directory.write_json(tmp_path / "old", "config.json", {"stage": "vae"})
    statistics = {"mean": [0.0], "std": [1.0], "step": 0, "weights": "hash"}
    run_directory.write_json(tmp_path / "old", "metadata.json", statistics)
    checkpoint.save_weights(tmp_path / "old", {"w": jnp.zeros(4)})
    toy(knowing, tmp_path / "new", init_from=str(tmp_path / "old"))
    parents = run_directory.read_json(tmp_path / "new", "metadata.json")["parents"]
    named = {"run": str(tmp_path / "old"), "step": 0, "weights": "hash"}
    assert parents == {"init_from": named}
    said = "old does not know the condition fps: its weights start at zero"
    assert capsys.readouterr().out.count(said) == 1


class AtStep3:
    """A hook that calls a function then."""

    def __init__(self, act):
        self.act = act

    def __call__(self, step, state, metrics):
        return self.act() if step == 3 else None

    def close(self):
        pass


def test_a_job_trains_to_its_end_once_and_logs_what_it_used(toy, tmp_path):
    asked = []

    def speed(config, makes):
        asked.append((config.stage, makes))
        return 30.0, 600.0

    said = toy(quadratic(), tmp_path / "run", speed=speed, checkpoint_every=2)
    assert said == f"{tmp_path / 'run'}: trained, {NUM_STEPS} steps"
    assert asked == [("toy", "motion")]
    found = run_directory.read_json(tmp_path / "run", "metadata.json")
    weights = checkpoint.load(tmp_path / "run")  # on the host, as merging reads them
    assert found.pop("weights") == lineage.weights_hash(weights)
    assert found == {"step": NUM_STEPS, "makes": "motion", "parents": {}}
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [2, 4, 6, NUM_STEPS]
    for record in records:
        assert record["mfu"] == pytest.approx(30.0 / 600.0 * record["steps_per_second"])
    assert run_directory.all_steps(tmp_path / "run") == [NUM_STEPS]  # one is kept
    said = toy(quadratic(), tmp_path / "run", checkpoint_every=2)
    assert said == f"{tmp_path / 'run'}: already trained, {NUM_STEPS} steps"


def test_a_job_that_a_hook_stops_is_finished_and_says_why(toy, tmp_path):
    said = toy(quadratic(), tmp_path, [lambda *made: AtStep3(lambda: Stop("enough"))])
    assert said == f"{tmp_path}: stopped at step 3 of {NUM_STEPS}: enough"
    found = run_directory.read_json(tmp_path, "metadata.json")
    weights = found.pop("weights")
    assert found == {"step": 3, "makes": "motion", "stopped": "enough", "parents": {}}
    assert toy(quadratic(), tmp_path) == f"{tmp_path}: trained, {NUM_STEPS} steps"
    finished = run_directory.read_json(tmp_path, "metadata.json")
    assert "stopped" not in finished
    assert finished["weights"] != weights


def test_a_job_that_a_signal_stops_is_saved_but_not_finished(toy, tmp_path):
    stop = AtStep3(lambda: signal.raise_signal(signal.SIGTERM))
    said = toy(quadratic(), tmp_path, [lambda *made: stop])
    assert said == f"{tmp_path}: stopped at step 3 of {NUM_STEPS}, saved"
    assert run_directory.latest_step(tmp_path) == 3
    assert not finished(tmp_path)


@pytest.mark.parametrize("pins", [{}, {"best": 3}])
def test_a_job_does_not_go_on_from_what_another_run_left_behind(toy, tmp_path, pins):
    toy(quadratic(), tmp_path, [lambda *made: AtStep3(lambda: Stop("enough"))])
    before = (tmp_path / "config.json").read_text()

    def other_ends(*made):
        """The run that held the directory ends when this one has read what it will go on from."""
        run_directory.write_json(tmp_path, run_directory.PINS, pins)
        if not pins:
            save(tmp_path, 5)
        return AtStep3(lambda: None)

    with pytest.raises(
        ValueError, match=r"has changed meanwhile, start again: .*\[3, {}\] and are"
    ):
        toy(quadratic(), tmp_path, [other_ends], num_steps=9)
    assert (tmp_path / "config.json").read_text() == before
    if not pins:
        (tmp_path / "checkpoints" / "5").rmdir()
    assert f"trained, {NUM_STEPS} steps" in toy(quadratic(), tmp_path, chooses=True)


def test_a_directory_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="is not empty and is not a run"):
        prepare(config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unknown_stage_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"stage='gan'; legal stages: .*'flow_matching', .*'vae'"):
        prepare(config(stage="gan"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["num_steps", "log_every", "checkpoint_every", "accumulate"])
def test_periods_are_at_least_one(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}=0: must be at least 1"):
        prepare(ConfigDict(CONFIG | {name: 0}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_generator_is_not_an_autoencoder(tmp_path):
    prepare(config(stage="flow_matching"), tmp_path)
    with pytest.raises(ValueError, match="makes a generator; vae_run wants an autoencoder$"):
        runs.open_run(tmp_path, "autoencoder", "vae_run")
    with pytest.raises(FileNotFoundError, match="vae_run: run directory '' does not exist"):
        runs.open_run("", "autoencoder", "vae_run")


def test_an_unfinished_run_is_not_an_autoencoder(tmp_path):
    prepare(config(), tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a finished run"):
        runs.open_run(tmp_path, "autoencoder")


def test_a_batch_can_be_cut_into_parts_and_each_part_over_the_mesh():
    buckets, mesh = [Bucket(1, 16, 16, 12), Bucket(5, 16, 16, 6)], sharding.plan_mesh(3, fsdp=3)
    check_batches(buckets, 2, mesh)
    with pytest.raises(ValueError, match="accumulate=4 does not divide .*batch_size=6"):
        check_batches(buckets, 4, mesh)
    with pytest.raises(ValueError, match="fsdp"):
        check_batches(buckets, 3, mesh)


class PinAt2:
    """Hook that finds step 2 the best and has seen enough at step 4."""

    def __init__(self, stage, mesh, save):
        self.save = save

    def __call__(self, step, state, metrics):
        if step == 2:
            self.save.pin(2, "best")
        return Stop("no better") if step == 4 else None

    def close(self):
        """Nothing is pending."""


def test_a_run_whose_best_was_chosen_stands_for_that_until_it_goes_on(toy, tmp_path):
    workdir = tmp_path / "run"
    finish = lambda params: {"w": params["w"].tolist()}  # noqa: E731
    stage = dataclasses.replace(quadratic(), finish=finish)
    said = toy(stage, workdir, [PinAt2])
    assert said.endswith("stopped at step 4 of 7: no better; it stands for step 2, its best")
    found = run_directory.read_json(workdir, "metadata.json")
    best, last = (checkpoint.load(workdir, step=step) for step in ("best", 4))
    assert (found["step"], found["trained"]) == (2, 4)
    assert found["w"] == best["w"].tolist() != last["w"].tolist()
    assert found["weights"] == lineage.weights_hash(best)
    assert checkpoint.load(workdir)["w"].tolist() == best["w"].tolist()
    assert run_directory.final_step(workdir) == 2
    assert finished(workdir)
    save(workdir, 5)  # as if it went on
    assert run_directory.final_step(workdir) == 5
    assert not finished(workdir)
    (workdir / "checkpoints" / "5").rmdir()
    shutil.rmtree(workdir / "checkpoints" / "2")
    with pytest.raises(FileNotFoundError, match="has no checkpoint 2, only"):
        checkpoint.load(workdir)


def test_a_run_whose_best_was_chosen_goes_on_only_with_what_chooses(toy, tmp_path):
    workdir = tmp_path / "run"
    toy(quadratic(), workdir, [PinAt2], chooses=True)
    with pytest.raises(ValueError, match="run stands for step 2, the best .* with --suite and"):
        toy(quadratic(), workdir)
    assert run_directory.all_steps(workdir) == [2, 4]
    assert toy(quadratic(), workdir, [PinAt2], chooses=True).startswith(f"{workdir}: trained, 7")
    assert toy(quadratic(), workdir).endswith("already trained, 7 steps")
