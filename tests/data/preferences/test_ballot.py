"""What a voter is asked of a pair, and in which order."""

import pytest

from seedance_jax.data.preferences import ballot, pairs
from seedance_jax.data.preferences.answers import AXES


def test_axes_are_those_that_can_be_judged(found, write, tmp_path):
    assert ballot.axes_of(found[0]) == tuple(AXES)
    assert ballot.axes_of(found[1]) == tuple(AXES)[:3]
    images = [write(tmp_path / str(i), 0, 1 + i, num_frames=1) for i in range(2)]
    (images[1] / "0000.png").write_bytes((images[1] / "0001.png").read_bytes())
    made, _ = pairs.pair_folders(images)
    assert ballot.axes_of(made[0]) == ("prompt_following", "aesthetic_quality")


def test_the_order_is_of_the_voter_and_the_seed(found):
    def seen(voter, seed):
        shown = ballot.order(found, voter, seed)
        return [(pair.id, ballot.arrange(pair, voter, seed)[0].sha256) for pair in shown]

    assert seen("ann", 0) == seen("ann", 0)
    assert len({str(seen(f"voter {i}", 0)) for i in range(20)}) > 10
    assert len({str(seen("ann", seed)) for seed in range(20)}) > 10
    first = [ballot.arrange(found[0], f"voter {i}", 0) == found[0].clips for i in range(400)]
    assert 150 < sum(first) < 250


def test_names_of_voters_are_cleaned():
    assert ballot.voter_name("  Ann  Lee ") == ballot.voter_name("ann lee")
    for name in ("", "  ", "x" * 41, "a\x00b"):
        with pytest.raises(ValueError, match="give a name of 1 to 40"):
            ballot.voter_name(name)
