"""What the command line refuses before anything is measured."""

import pytest

from configs import pretrain, vae
from seedance_jax.training import run_directory


@pytest.mark.parametrize(
    ("stage", "flag"),
    [
        ("vae", "--num_prompts=2"),
        ("vae", "--guidance_scale=1.0"),
        ("vae", "--seed=0"),
        ("vae", "--num_inference_steps=5"),
        ("vae", "--vae_run=elsewhere"),
        ("flow_matching", "--tile=2"),
    ],
)
def test_a_flag_that_the_stage_has_no_use_for_is_refused(run_command, tmp_path, stage, flag):
    run_directory.write_json(tmp_path, "config.json", {"stage": stage})
    with pytest.raises(ValueError, match=f"{flag} is for runs of .* is one of {stage}"):
        run_command("evaluate", f"--workdir={tmp_path}", flag)


def test_other_kinds_of_runs_are_refused(run_command, tmp_path):
    run_directory.write_json(tmp_path, "config.json", {"stage": "vae"})
    with pytest.raises(ValueError, match="is a run of stage 'vae', not --kind=flow_matching"):
        run_command("evaluate", f"--workdir={tmp_path}", "--kind=flow_matching")
    run_directory.write_json(tmp_path, "config.json", {"stage": "reward"})
    with pytest.raises(ValueError, match="stage 'reward' is not one of"):
        run_command("evaluate", f"--workdir={tmp_path}")


@pytest.mark.parametrize("module", [pretrain, vae])
def test_data_that_are_not_there_are_asked_for_by_their_config(run_command, tmp_path, module):
    config = module.get_config("tiny")
    config.data.data_dir = f"{tmp_path}/data"
    run_directory.write_json(tmp_path, "config.json", config.to_dict())
    name = {pretrain: "pretrain", vae: "vae"}[module]
    told = f"say by --data_dir, or build it:\n.*build_data --config=configs/{name}.py:tiny "
    with pytest.raises(ValueError, match=f"{told}--config.data.data_dir={tmp_path}/data$"):
        run_command("evaluate", f"--workdir={tmp_path}")
    moved = f"{tmp_path}/moved"
    with pytest.raises(ValueError, match=f"in {moved}/.*{told}--config.data.data_dir={moved}$"):
        run_command("evaluate", f"--workdir={tmp_path}", f"--data_dir={moved}")
