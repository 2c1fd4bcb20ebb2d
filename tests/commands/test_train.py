"""With what status a training ends."""

import pytest

from seedance_jax.stages import job

COMMAND = ("train", "--config=configs/vae.py:smoke", "--workdir=w")


@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--stopped_status=75",), 75)])
def test_a_training_that_a_signal_ended_says_so_by_its_status(
    run_command, monkeypatch, capsys, flags, status
):
    monkeypatch.setattr(job, "train", lambda *settings: job.Outcome("stopped, saved", True))
    with pytest.raises(SystemExit) as ended:
        run_command(*COMMAND, *flags)
    assert ended.value.code == status
    assert "stopped, saved" in capsys.readouterr().out


def test_one_that_is_whole_does_not(run_command, monkeypatch):
    monkeypatch.setattr(job, "train", lambda *settings: job.Outcome("trained"))
    run_command(*COMMAND, "--stopped_status=75")
