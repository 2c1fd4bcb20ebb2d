"""Training calls a small suite, for the weights of that step."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import language_models
import numpy as np
import pytest

from configs import lora, pretrain, pretrain_highres, pretrain_video, vae
from seedance_jax.evaluation.suite import command
from seedance_jax.evaluation.suite import hook as module
from seedance_jax.evaluation.suite.hook import SuiteHook
from seedance_jax.evaluation.suite.patience import PatientHook
from seedance_jax.models.generator import example_inputs
from seedance_jax.pretrained import generators, runs, text_encoder
from seedance_jax.training import checkpoint, run_directory


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
    monkeypatch.setattr(hook, "_open", lambda _, params: opened.append(params) or pipeline)
    with quick():
        for step in range(1, 31):
            hook(step, SimpleNamespace(ema=step, params=-1), {})
    folders = sorted((tmp_path / "suite_world_v1_dev").iterdir())
    assert [folder.name for folder in folders] == ["00000010", "00000020", "00000030"]
    told = [json.loads((folder / "report.json").read_text())["weights"] for folder in folders]
    assert told == ["weights 10", "weights 20", "weights 30"]
    assert opened == [10]
    assert capsys.readouterr().out.count("of the first 2 of 224 clips pass") == 3


def test_what_is_judged_is_what_the_trained_parameters_become(
    make, fake, quick, tmp_path, monkeypatch
):
    hook = make(lora.get_config("smoke"), lambda params, frozen: frozen["base"] + 2 * params)
    pipeline = fake()
    pipeline.with_params = lambda params: fake(name=f"weights {int(params)}")
    monkeypatch.setattr(hook, "_open", lambda *_: pipeline)
    with quick():
        hook(10, SimpleNamespace(ema=5), {})
    report = json.loads((tmp_path / "suite_world_v1_dev" / "00000010" / "report.json").read_text())
    assert report["weights"] == "weights 13"


@pytest.mark.parametrize("mode", ["frozen", "precomputed"])
def test_a_finished_language_model_stays_with_the_weights_of_every_step(
    make, parts, random_params, one_device, tmp_path, monkeypatch, mode
):
    _, _, autoencoder, weights, _, metadata = parts
    language, coder = tmp_path / "language", tmp_path / "vae"
    language.mkdir()
    language_models.write_directory(language)
    own = {name: getattr(autoencoder, name) for name in autoencoder.__dataclass_fields__}
    own = {name: value for name, value in own.items() if name not in ("parent", "name", "dtype")}
    checkpoint.save_weights(coder, weights["params"])
    run_directory.write_json(coder, "config.json", {"stage": "vae", "vae": own})
    statistics = {name: weights[name].tolist() for name in ("mean", "std")}
    run_directory.write_json(coder, "metadata.json", statistics | {"step": 0})

    config = pretrain.get_config("smoke").unlock()
    config.text.update({"mode": mode, "path": str(language), "dtype": "float32"})
    config.model.update({"width": 16, "depth": 1, "heads": 2, "window": (2, 2)})
    encoder = text_encoder.open_encoder(text_encoder.DEFAULTS | config.text.to_dict())
    model = generators.build_generator(config.text.to_dict(), config.model.to_dict(), 4)
    ema = random_params(model.init, *example_inputs(4, 32, encoder.width))["params"]
    told = {"latent_channels": 4, "vae_run": str(coder), "text_path": str(language)}
    told |= {"autoencoder": runs.latent_fingerprint(weights), "text": encoder.identity}
    hook, judged = make(config, mesh=one_device), []
    hook._stage.finish = lambda params: metadata | told
    monkeypatch.setattr(module.command, "run", lambda pipeline, *_: judged.append(pipeline))
    monkeypatch.setattr(module.report, "one_line", lambda found: "")
    for step, scale in ((10, 1.0), (20, 0.5)):
        hook(step, SimpleNamespace(ema=jax.tree.map(lambda leaf, s=scale: s * leaf, ema)), {})
    one, other = (p("a film", num_inference_steps=1, seed=0).frames for p in judged)
    assert one.shape == (1, 9, 32, 32, 3)
    assert (one != other).any()
    again = judged[0].with_params(ema)("a film", num_inference_steps=1, seed=0).frames
    np.testing.assert_array_equal(again, one)


def test_what_a_killed_run_left_is_made_again(make, fake, quick, tmp_path, monkeypatch):
    for name in ("lost", "again"):
        hook = make(pretrain.get_config("smoke"))
        pipeline = fake()
        pipeline.with_params = lambda params, name=name: fake(name=name)
        monkeypatch.setattr(hook, "_open", lambda *_, pipeline=pipeline: pipeline)
        with quick():
            hook(10, SimpleNamespace(ema=jnp.ones(())), {})
    report = json.loads((tmp_path / "suite_world_v1_dev" / "00000010" / "report.json").read_text())
    assert report["weights"] == "again"


@pytest.fixture
def judged(make, fake, bright, quick, tmp_path, monkeypatch):
    """(hook of two clips that has judged step 10, function that judges steps by hand)."""
    hook = make(pretrain.get_config("smoke"))
    monkeypatch.setattr(hook, "_suite", bright)
    pipeline = fake()
    pipeline.with_params = lambda params: fake(name="weights")
    monkeypatch.setattr(hook, "_open", lambda *_: pipeline)

    def by_hand(step, limit, **settings):
        folder = tmp_path / "suite_world_v1_dev" / f"{step:08d}"
        with quick():
            return command.run(fake(name="weights"), bright, folder, limit, **settings)

    with quick():
        hook(10, SimpleNamespace(ema=jnp.ones(())), {})
    return hook, by_hand


def test_what_was_judged_by_hand_besides_does_not_matter(judged):
    hook, by_hand = judged
    before = hook.reports()
    assert before[10]["clips"] == 2
    assert by_hand(10, 5)["clips"] == 5
    assert hook.reports() == before
    by_hand(20, 1)
    assert hook.reports() == before
    by_hand(25, 2)
    assert hook.reports() == before
    by_hand(30, 3)
    assert hook.reports() == before | {30: before[10]}


def test_clips_that_were_made_in_other_ways_are_not_compared(judged, tmp_path):
    hook, by_hand = judged
    by_hand(20, 2, num_inference_steps=5)
    match = "00000020 has settings=.*'num_inference_steps': 5.*00000010 has .*; move one of the two"
    with pytest.raises(ValueError, match=match):
        hook.reports()
    with pytest.raises(ValueError, match=match):  # at the start, though nothing is pinned yet
        PatientHook(hook, None, tmp_path, patience=2)


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


@pytest.mark.parametrize(
    ("config", "name", "other"),
    [
        (pretrain_video, "world_v2_plain_low_dev", "world_v2_plain_6fps_dev"),
        (pretrain_highres, "world_v2_plain_6fps_dev", "world_v2_plain_dev"),
    ],
)
def test_a_stage_of_a_low_rate_trains_beside_the_suite_of_its_own_form(make, config, name, other):
    assert make(config.get_config("released"), name=name).folder.name == f"suite_{name}"
    with pytest.raises(ValueError, match=f"{other} is of clips of"):
        make(config.get_config("released"), name=other)
