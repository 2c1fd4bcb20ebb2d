"""A share of the corpus of damaged films; `python -m tests.data.video.corpus` reads all of it."""

import numpy as np
import pytest

from seedance_jax.data.video import ClipError
from tests.data.video import corpus


def test_damaged_films_are_read_or_lost_by_name():
    outcomes = corpus.run(2 * len(corpus.WAYS) * len(corpus.DAMAGES), seed=0)
    assert [told for told in outcomes.values() if told not in ("read", "lost")] == []
    assert {told for film, told in outcomes.items() if film.damage == "title"} == {"read"}
    assert "lost" in outcomes.values()


def test_a_stream_that_begins_later_is_damage():
    """A flipped bit of seed 7017 makes one in a transport stream."""
    with pytest.raises(ClipError, match="a stream that its header lacks"):
        corpus.read(corpus.damaged(corpus.Damaged("ts, H.264", "bits", 7017)))


@pytest.mark.parametrize("damage", sorted(corpus.DAMAGES))
def test_damage_is_what_its_seed_makes_it(damage):
    films = [corpus.damaged(corpus.Damaged("mp4, H.264", damage, seed)) for seed in (1, 1, 2, 3)]
    assert films[0] == films[1]
    assert len({*films, corpus.whole("mp4, H.264")}) >= 3


def test_packets_that_are_whole_are_told_from_others():
    whole = corpus.whole("mp4, H.264")
    same = corpus.packets(whole.replace(corpus.TITLE.encode(), corpus.TITLE.encode()[::-1]))
    assert same == corpus.packets(whole)
    payload = whole.index(b"mdat") + 1000
    assert corpus.packets(whole[:payload] + b"\xff\0" + whole[payload + 2 :]) != same


def test_a_broken_rule_is_said(monkeypatch):
    film = corpus.Damaged("gif", "title", 0)
    assert corpus.broken({film: "lost"}) == ["title: 0.0% are read, fewer than 100%"]
    assert corpus.outcome(film) == "read"
    calls = iter(range(9))
    monkeypatch.setattr(corpus, "read", lambda data: (np.full(3, next(calls)), []))
    assert "the pixels are others" in corpus.outcome(film)
