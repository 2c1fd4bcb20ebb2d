"""Training calls a small suite, for the weights of that step."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from configs import lora, pretrain, vae
from seedance_jax.evaluation.suite.hook import SuiteHook


@pytest.fixture
def make(tmp_path):
    """Function (config, generator_params, **settings) -> hook in tmp_path."""

    def make(config, generator_params=lambda params, frozen: params, **settings):
        stage = SimpleNamespace(finish=dict, generator_params=generator_params, frozen={"base": 3})
        settings = {"name": "world_v1_dev", "every": 10, "limit": 2, "mesh": None} | settings
        return SuiteHook(tmp_path, config.to_dict(), stage, **settings)

    return make


def test_it_runs_when_it_is_due_with_the_average_of_the_weights(
    make, fake, quick, tmp_path, monkeypatch, capsys
):
    hook, opened = make(pretrain.get_config("smoke")), []
    pipeline = fake()
    pipeline.with_params = lambda params: fake(name=f"weights {int(params)}")
    monkeypatch.setattr(hook, "_open", lambda params: opened.append(params) or pipeline)
    with quick():
        for step in range(1, 31):
            hook(step, SimpleNamespace(ema=step, params=-1), {})
    folders = sorted((tmp_path / "suite_world_v1_dev").iterdir())
    assert [folder.name for folder in folders] == ["00000010", "00000020", "00000030"]
    told = [json.loads((folder / "report.json").read_text())["weights"] for folder in folders]
    assert told == ["weights 10", "weights 20", "weights 30"]
    assert opened == [10]
    assert capsys.readouterr().out.count("of 2 clips pass") == 3


def test_what_is_judged_is_what_the_trained_parameters_become(
    make, fake, quick, tmp_path, monkeypatch
):
    hook = make(lora.get_config("smoke"), lambda params, frozen: frozen["base"] + 2 * params)
    pipeline = fake()
    pipeline.with_params = lambda params: fake(name=f"weights {int(params)}")
    monkeypatch.setattr(hook, "_open", lambda params: pipeline)
    with quick():
        hook(10, SimpleNamespace(ema=5), {})
    report = json.loads((tmp_path / "suite_world_v1_dev" / "00000010" / "report.json").read_text())
    assert report["weights"] == "weights 13"


def test_what_a_killed_run_left_is_made_again(make, fake, quick, tmp_path, monkeypatch):
    for name in ("lost", "again"):
        hook = make(pretrain.get_config("smoke"))
        pipeline = fake()
        pipeline.with_params = lambda params, name=name: fake(name=name)
        monkeypatch.setattr(hook, "_open", lambda params, pipeline=pipeline: pipeline)
        with quick():
            hook(10, SimpleNamespace(ema=jnp.ones(())), {})
    report = json.loads((tmp_path / "suite_world_v1_dev" / "00000010" / "report.json").read_text())
    assert report["weights"] == "again"


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (vae.get_config("smoke"), {"generator_params": None}, "only generators make clips"),
        (pretrain.get_config("small"), {}, "clips of 17x64x64 .* was trained on "),
        (pretrain.get_config("smoke"), {"limit": 300}, "limit=300 must be from 1 to 224"),
        (pretrain.get_config("smoke"), {"name": "world_v1_test"}, "is for tables alone"),
    ],
)
def test_runs_that_it_cannot_judge_are_refused(make, config, settings, message):
    with pytest.raises(ValueError, match=message):
        make(config, **settings)


def test_a_flag_that_does_nothing_is_refused(run_command, tmp_path):
    with pytest.raises(ValueError, match="--suite_every=5 does nothing without --suite"):
        run_command(
            "train",
            "--config=configs/pretrain.py:smoke",
            f"--workdir={tmp_path}/run",
            "--suite_every=5",
        )
