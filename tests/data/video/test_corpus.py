"""A share of the corpus of damaged films; `python -m tests.data.video.corpus` reads all of it."""

import av
import numpy as np
import pytest

from seedance_jax.data.video import ClipError
from tests.data.video import corpus


def test_damaged_films_are_read_or_lost_by_name():
    outcomes = corpus.run(2 * len(corpus.WAYS) * len(corpus.DAMAGES), seed=0)
    assert [told for told in outcomes.values() if told not in ("read", "lost")] == []
    assert {told for film, told in outcomes.items() if film.damage == "title"} == {"read"}
    assert "lost" in outcomes.values()


PACKET = 188  # bytes of a packet of a transport stream
FRAME_BEGINS = b"\0\0\1\xe0"  # start code of a packet of video, which H.264 cannot contain


def with_stream_for_last_frame(data):
    """A transport stream whose last frame is of a stream that begins there."""
    data = bytearray(data)
    first = data.rindex(FRAME_BEGINS) // PACKET * PACKET
    number = data[first + 1] & 0x1F, data[first + 2]
    for place in range(first, len(data), PACKET):
        if (data[place + 1] & 0x1F, data[place + 2]) == number:
            data[place + 1] ^= 0x02
    return bytes(data)


def test_a_stream_that_begins_later_is_damage():
    """PyAV raises an IndexError; from 19 on it passes over the packets of that stream."""
    film = corpus.whole("ts, H.264")
    later = with_stream_for_last_frame(film)
    if int(av.__version__.partition(".")[0]) < 19:
        with pytest.raises(ClipError, match="a stream that its header lacks"):
            corpus.read(later)
        return
    shown, (found, _) = corpus.read(film)[0], corpus.read(later)
    lost = [n for n, frame in enumerate(shown) if not (found == frame).all((1, 2, 3)).any()]
    assert len(lost) == 1  # the last one that was written, which need not be shown last
    np.testing.assert_array_equal(found, np.delete(shown, lost, axis=0))


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
