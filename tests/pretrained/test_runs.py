"""Runs are opened by what they make, whatever their objective and however old they are."""

import pytest

from seedance_jax.pretrained import generators, runs
from seedance_jax.training import checkpoint, run_directory


def write_run(workdir, config, metadata=None):
    """A run without weights; finished if it has metadata."""
    run_directory.write_json(workdir, "config.json", config)
    if metadata is not None:
        run_directory.write_json(workdir, "metadata.json", metadata)
    return workdir


@pytest.mark.parametrize(
    ("config", "makes"),
    [
        ({"stage": "vae"}, "autoencoder"),
        ({"stage": "flow_matching"}, "generator"),
        ({"stage": "flow_matching", "lora": {}}, "adapters"),
        ({"stage": "flow_matching", "makes": "refiner"}, "refiner"),
        ({"stage": "flow_matching", "makes": "motion", "lora": {}}, "adapters"),
    ],
)
def test_an_old_run_is_known_by_its_config(tmp_path, config, makes):
    write_run(tmp_path, config, dict.fromkeys(runs.NEEDED[makes]))
    run = runs.open_run(tmp_path, makes)
    assert run.makes == makes
    assert run.config == config
    assert runs.open_run(tmp_path, (makes, "reward")) == runs.open_run(str(tmp_path)) == run


def test_what_metadata_say_counts_and_not_the_name_of_the_objective(tmp_path):
    metadata = dict.fromkeys(runs.NEEDED["generator"]) | {"makes": "generator"}
    write_run(tmp_path, {"stage": "rlhf"}, metadata)
    assert runs.open_run(tmp_path, "generator").makes == "generator"


@pytest.mark.parametrize("makes", runs.MAKES)
def test_another_kind_of_run_is_refused_with_both_names(tmp_path, makes):
    write_run(tmp_path, {"stage": "vae"}, {"makes": makes})
    other = "refiner" if makes != "refiner" else "motion"
    wants = f"makes {runs.MAKES[makes]}; --of wants {runs.MAKES[other]}$"
    with pytest.raises(ValueError, match=wants):
        runs.open_run(tmp_path, other, "--of")


def test_adapters_in_the_place_of_a_generator_say_where_they_go(tmp_path):
    write_run(tmp_path, {"stage": "flow_matching", "lora": {}})
    with pytest.raises(ValueError, match=f"makes adapters; .* a generator: .*--lora={tmp_path}$"):
        runs.open_run(tmp_path, "generator")


def test_what_nothing_makes_is_refused_and_what_is_legal_is_named(tmp_path):
    for makes in ("", "vectors"):
        write_run(tmp_path, {"stage": "vae"}, {"makes": makes})
        with pytest.raises(ValueError, match=f"makes='{makes}'; legal are .*'autoencoder', "):
            runs.open_run(tmp_path)
    write_run(tmp_path, {"stage": "vae", "makes": "refiner"}, {})
    with pytest.raises(ValueError, match=r"makes='refiner'; stage='vae' makes \('autoencoder',\)"):
        runs.open_run(tmp_path)


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="--workdir: run directory .*nowhere' does not"):
        runs.open_run(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"is not a run: it has no config\.json"):
        runs.open_run(tmp_path)
    write_run(tmp_path, {"architectures": ["Qwen2ForCausalLM"]})
    with pytest.raises(ValueError, match="not a run that can be opened: .*stage=None; known: "):
        runs.open_run(tmp_path)
    with pytest.raises(
        ValueError, match="--of=s3://runs/a: only local paths, mounted storage and gs://"
    ):
        runs.open_run("s3://runs/a", flag="--of")


def test_an_unfinished_run_opens_only_where_that_is_enough(tmp_path):
    write_run(tmp_path, {"stage": "vae"})
    with pytest.raises(FileNotFoundError, match=r"is not a finished run: it has no metadata\.json"):
        runs.open_run(tmp_path)
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    run = runs.open_run(tmp_path, "autoencoder", finished=False)
    assert (run.step, run.metadata) == (20, {})
    write_run(tmp_path, {"stage": "vae"}, {"mean": [], "std": [], "step": 10})
    with pytest.raises(FileNotFoundError, match="was at step 10, its checkpoint is at 20"):
        runs.open_run(tmp_path)


def test_a_run_of_an_older_layout_says_what_to_do(tmp_path):
    metadata = dict.fromkeys(set(runs.NEEDED["generator"]) - {"fps"})
    write_run(tmp_path, {"stage": "flow_matching"}, metadata)
    with pytest.raises(ValueError, match="older layout, without fps .* start the same training"):
        runs.open_run(tmp_path)


def test_the_released_weights_open():
    """Their metadata are of before `makes`."""
    run = runs.open_run(runs.RELEASED, "generator")
    assert "makes" not in run.metadata or run.metadata["makes"] == "generator"
    vae_run, autoencoder, _ = runs.autoencoder_of(run)
    assert vae_run.path == run.path / "autoencoder"
    generator, params, completed = generators.complete(run, checkpoint.load(run.path))
    assert generator.dit["latent_channels"] == autoencoder.latent_channels
    assert {"text", "video"} <= params.keys()
    assert completed.config["text"]["mode"] == "joint"
