"""Of several processes the first reads what all need to train a generator, but the clips."""

import pickle

import jax
import numpy as np
import pytest

from seedance_jax.training import cluster
from tests.stages.test_text_modes import config, stage_of  # noqa: F401

ELSEWHERE = {"vae_run": "/nowhere/vae", "data.data_dir": "/nowhere/data"}


@pytest.fixture
def sent(monkeypatch):
    """What process 0 sends; function that makes this process the second, which receives it."""
    messages = []

    def send(value):
        messages.append(pickle.dumps(value))
        return value

    def receive(value):
        assert value is None
        return pickle.loads(messages.pop(0))

    def become_second():
        monkeypatch.setattr(cluster, "is_main", lambda: False)
        monkeypatch.setattr(cluster, "broadcast", receive)
        return messages

    monkeypatch.setattr(cluster, "broadcast", send)
    return become_second


@pytest.mark.parametrize("mode", ["joint", "frozen"])
def test_the_second_process_opens_a_stage_without_its_files(config, sent, mode):  # noqa: F811
    if mode == "joint":
        config = config.copy_and_resolve_references()
        config.text.update({"path": "", "max_words": 8})
    first, own = stage_of(config, mode)
    messages = sent()
    own.update_from_flattened_dict(ELSEWHERE)
    second, _ = stage_of(own, mode)
    assert not messages
    assert second.identity == first.identity
    jax.tree.map(np.testing.assert_array_equal, second.frozen, first.frozen)
    mine, theirs = (next(stage.batches(3)) for stage in (second, first))
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)
