import numpy as np
import pytest

from seedance_jax.data import tokenizer


@pytest.mark.parametrize("text", ["", "a red ball", "eine Straße, 猫 \U0001f600"])
def test_round_trip(text):
    ids, mask = tokenizer.encode(text, 64)
    assert ids.dtype == np.int32
    assert tokenizer.decode(ids) == text
    assert mask.sum() == tokenizer.token_count(text) == 1 + len(text.encode())
    assert ids[0] == tokenizer.BOS
    assert (ids[mask] != tokenizer.PAD).all()
    assert (ids[~mask] == tokenizer.PAD).all()
    assert ids.max() < tokenizer.VOCAB_SIZE


def test_a_text_that_just_fits_and_one_that_does_not():
    assert tokenizer.encode("abcd", 5)[1].all()
    with pytest.raises(ValueError, match=r"6 tokens .* text length 5"):
        tokenizer.encode("abcde", 5)


def test_ids_outside_the_vocabulary_are_an_error():
    with pytest.raises(ValueError, match="259"):
        tokenizer.decode(np.array([1, 259]))
