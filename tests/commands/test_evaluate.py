"""What the command line refuses before anything is measured."""

import pytest

from configs import pretrain, vae
from seedance_jax.pretrained import runs
from seedance_jax.training import run_directory

STAGES = {"autoencoder": "vae", "generator": "flow_matching"}


def write_run(workdir, stage, **config):
    """A finished run without weights."""
    needed = {name for names in runs.NEEDED.values() for name in names}
    run_directory.write_json(workdir, "config.json", {"stage": stage, **config})
    run_directory.write_json(workdir, "metadata.json", dict.fromkeys(needed))


@pytest.mark.parametrize(
    ("makes", "flag"),
    [
        ("autoencoder", "--num_prompts=2"),
        ("autoencoder", "--guidance_scale=1.0"),
        ("autoencoder", "--seed=0"),
        ("autoencoder", "--num_inference_steps=5"),
        ("autoencoder", "--vae_run=elsewhere"),
        ("generator", "--tile=2"),
    ],
)
def test_a_flag_that_what_the_run_makes_has_no_use_for_is_refused(
    run_command, tmp_path, makes, flag
):
    write_run(tmp_path, STAGES[makes])
    with pytest.raises(ValueError, match=f"{flag} does nothing without .*a run that makes an? "):
        run_command("evaluate", f"--workdir={tmp_path}", flag)


def test_other_kinds_of_runs_are_refused(run_command, tmp_path):
    write_run(tmp_path, "vae")
    with pytest.raises(ValueError, match="makes an autoencoder; --makes wants a generator$"):
        run_command("evaluate", f"--workdir={tmp_path}", "--makes=generator")
    run_directory.write_json(tmp_path, "metadata.json", {"makes": "reward"})
    with pytest.raises(
        ValueError, match="a reward; --workdir wants an autoencoder or a generator$"
    ):
        run_command("evaluate", f"--workdir={tmp_path}")


@pytest.mark.parametrize("module", [pretrain, vae])
def test_data_that_are_not_there_are_asked_for_by_their_config(run_command, tmp_path, module):
    config = module.get_config("tiny")
    config.data.data_dir = f"{tmp_path}/data"
    write_run(tmp_path, **config.to_dict())
    name = {pretrain: "pretrain", vae: "vae"}[module]
    told = f"say by --data_dir, or build it:\n.*build_data --config=configs/{name}.py:tiny "
    with pytest.raises(ValueError, match=f"{told}--config.data.data_dir={tmp_path}/data$"):
        run_command("evaluate", f"--workdir={tmp_path}")
    moved = f"{tmp_path}/moved"
    with pytest.raises(ValueError, match=f"in {moved}/.*{told}--config.data.data_dir={moved}$"):
        run_command("evaluate", f"--workdir={tmp_path}", f"--data_dir={moved}")
