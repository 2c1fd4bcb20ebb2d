"""What the judges say of true clips that an autoencoder returns."""

import numpy as np
import pytest

from seedance_jax.evaluation.suite import roundtrip
from seedance_jax.pretrained import runs


@pytest.fixture
def judge(bright, quick, monkeypatch):
    """Function of what an autoencoder does to [B,T,H,W,3] in [-1, 1]: the report on five clips."""

    def report(code, **settings):
        monkeypatch.setattr(roundtrip, "autoencoder_method", lambda model, weights: code)
        run = runs.open_run(runs.RELEASED / "autoencoder")
        with quick():
            return roundtrip.judge(run, bright, **{"limit": 5, "batch_size": 2} | settings)

    return report


def levels(count):
    """So many levels of 8 bits, in [-1, 1]."""
    return np.float32(count / 127.5)


def test_what_returns_unchanged_is_judged_like_the_true_clips(judge):
    found = judge(lambda video: video)
    assert found["autoencoder"] == found["true"]
    assert found["kept"][0] == 1
    clips = found["clips"]
    assert 0 < found["true"]["passed"][0] * clips < clips


def test_the_share_kept_is_of_those_that_passed_before(judge):
    found = judge(lambda video: video + levels(1))
    assert found["kept"][0] == 0
    assert found["autoencoder"]["passed"][0] == pytest.approx(1 - found["true"]["passed"][0])


def test_batches_change_nothing_and_every_case_counts_once(judge, bright):
    code = lambda video: video + levels(1)  # noqa: E731
    assert judge(code, batch_size=5) == judge(code, batch_size=2)
    chosen = bright.cases[:5]
    assert judge(code)["clips"] == len({(case.split, case.index) for case in chosen})


def test_a_true_clip_that_passes_none_keeps_no_share(judge, bright):
    odd = [case for case in bright.cases if (10 + case.number) % 2][:1]
    found = judge(lambda video: video, limit=odd[0].number + 1)
    assert found["kept"][0] == 1
    assert "pass through the autoencoder" in roundtrip.one_line(found)
    assert "before" not in roundtrip.one_line(found | {"kept": None})
