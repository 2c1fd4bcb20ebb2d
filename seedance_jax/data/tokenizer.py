"""The byte tokenizer: a caption is its UTF-8 bytes, so nothing has to be learned or downloaded."""

import numpy as np

PAD = 0
BOS = 1
BYTE_OFFSET = 3  # ids 0..2 are special, id 2 is free
VOCAB_SIZE = 256 + BYTE_OFFSET


def token_count(text: str) -> int:
    """Number of tokens of a text, the leading BOS included."""
    return 1 + len(text.encode())


def encode(text: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids int32 [length] and a mask bool [length] that is True on BOS and bytes.

    Raises ValueError if the text does not fit: cutting a caption would change what it says.
    """
    count = token_count(text)
    if count > length:
        raise ValueError(
            f"caption of {count} tokens (BOS and {count - 1} bytes) exceeds the text length "
            f"{length}: {text!r}"
        )
    ids = np.full(length, PAD, np.int32)
    ids[0] = BOS
    ids[1:count] = np.frombuffer(text.encode(), np.uint8).astype(np.int32) + BYTE_OFFSET
    return ids, np.arange(length) < count


def decode(ids: np.ndarray) -> str:
    """The text of ids [S]; special ids are left out, broken UTF-8 shows as U+FFFD."""
    ids = np.asarray(ids)
    if ids.size and not (0 <= ids.min() and ids.max() < VOCAB_SIZE):
        raise ValueError(f"token ids must be in [0, {VOCAB_SIZE}), got {ids.min()}..{ids.max()}")
    return bytes((ids[ids >= BYTE_OFFSET] - BYTE_OFFSET).astype(np.uint8)).decode(errors="replace")
