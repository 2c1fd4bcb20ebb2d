"""What the command line refuses before anything is measured."""

import pytest

from seedance_jax.training import checkpoint


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
def test_a_flag_that_the_stage_has_no_use_for_is_refused(entry_point, tmp_path, stage, flag):
    checkpoint.write_json(tmp_path, "config.json", {"stage": stage})
    with pytest.raises(ValueError, match=f"{flag} is for runs of .* is one of {stage}"):
        entry_point("evaluate", f"--workdir={tmp_path}", flag)


def test_other_kinds_of_runs_are_refused(entry_point, tmp_path):
    checkpoint.write_json(tmp_path, "config.json", {"stage": "vae"})
    with pytest.raises(ValueError, match="is a run of stage 'vae', not --kind=flow_matching"):
        entry_point("evaluate", f"--workdir={tmp_path}", "--kind=flow_matching")
    checkpoint.write_json(tmp_path, "config.json", {"stage": "reward"})
    with pytest.raises(ValueError, match="stage 'reward' is not one of"):
        entry_point("evaluate", f"--workdir={tmp_path}")
