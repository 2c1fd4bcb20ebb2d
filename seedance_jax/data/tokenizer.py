"""Tokenizers as one record: text to ids and back.

Bytes are the default: nothing has to be learned or downloaded. `open_tokenizer` also takes the
directory of a language model and reads its `tokenizer.json`.
"""

import codecs
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from seedance_jax.data.pointers import check_fetched
from seedance_jax.data.rows import read_json

PAD = 0
BOS = 1
BYTE_OFFSET = 3  # ids 0..2 are special, id 2 is free
VOCAB_SIZE = 256 + BYTE_OFFSET


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back.

    Attributes:
      identity: "bytes", or the hash of what decides the ids.
      vocab_size: ids are below it.
      pad: fills what is masked.
      start: opens every caption, also the empty one.
      to_ids, to_text: of the text alone, without `start`.
      special: {text of a special token: id}.
    """

    identity: str
    vocab_size: int
    pad: int
    start: int
    to_ids: Callable[[str], Sequence[int]]
    to_text: Callable[[Sequence[int]], str]
    special: dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, text: str) -> int:
        """Number of tokens of a text, the start token included."""
        return 1 + len(self.to_ids(text))

    def encode(self, text: str, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids int32 [length] and a mask bool [length] that is True on start and text.

        Raises ValueError if the text does not fit: cutting a caption would change what it says.
        """
        tokens = [self.start, *self.to_ids(text)]
        if len(tokens) > length:
            raise ValueError(
                f"caption of {len(tokens)} tokens (the start token included) exceeds the text "
                f"length {length}: {text!r}"
            )
        ids = np.full(length, self.pad, np.int32)
        ids[: len(tokens)] = tokens
        return ids, np.arange(length) < len(tokens)

    def decode(self, ids: np.ndarray) -> str:
        """The text of ids [S]; special ids are left out, broken UTF-8 shows as U+FFFD."""
        ids = np.asarray(ids)
        if ids.size and not (0 <= ids.min() and ids.max() < self.vocab_size):
            raise ValueError(
                f"token ids must be in [0, {self.vocab_size}), got {ids.min()}..{ids.max()}"
            )
        return self.to_text(ids.tolist())


def _bytes_to_ids(text: str) -> list[int]:
    return [byte + BYTE_OFFSET for byte in text.encode()]


def _ids_to_bytes(ids: Sequence[int]) -> str:
    return bytes(i - BYTE_OFFSET for i in ids if i >= BYTE_OFFSET).decode(errors="replace")


BYTES = Tokenizer("bytes", VOCAB_SIZE, PAD, BOS, _bytes_to_ids, _ids_to_bytes)
token_count, encode, decode = BYTES.count, BYTES.encode, BYTES.decode


@functools.cache
def open_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a config: "bytes", or the directory that holds a tokenizer.json.

    A caption starts with the model's BOS, or where it has none, as Qwen, with its padding token:
    that is the end-of-text mark between the documents it was trained on.

    Raises:
      FileNotFoundError: no tokenizer.json, or no tokenizer_config.json beside it.
      ValueError: a file that is no tokenizer, or names neither BOS nor padding.
    """
    if name == BYTES.identity:
        return BYTES
    directory = Path(name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if not (directory / file).is_file():
            raise FileNotFoundError(
                f"tokenizer {name!r}: no {directory / file}; legal: 'bytes' or the directory of a "
                "language model with tokenizer.json and tokenizer_config.json"
            )
        check_fetched(directory / file)
    content = (directory / "tokenizer.json").read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        model = tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"{directory / 'tokenizer.json'}: not a tokenizer: {error}") from error
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True  # a text that spells a special token stays a text
    start, pad = _marks(directory / "tokenizer_config.json", model)
    digest = hashlib.sha256(content + f"{start} {pad}".encode()).hexdigest()[:16]
    added = {token.content: i for i, token in model.get_added_tokens_decoder().items()}
    size = 1 + max(model.get_vocab(with_added_tokens=True).values())
    to_ids = functools.partial(_text_to_ids, model)
    return Tokenizer(digest, size, pad, start, to_ids, model.decode, added)


def _text_to_ids(model: Any, text: str) -> list[int]:
    return model.encode(text, add_special_tokens=False).ids


def _marks(path: Path, model: Any) -> tuple[int, int]:
    """Ids of the start and of the padding token; one stands in for the other."""
    config = read_json(path)
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected an object, got {type(config).__name__}")
    names = [config.get(key) for key in ("bos_token", "pad_token")]
    names = [name["content"] if isinstance(name, dict) else name for name in names]
    ids = [None if name is None else model.token_to_id(name) for name in names]
    known = [number for number in ids if number is not None]
    if not known:
        raise ValueError(f"{path}: bos_token and pad_token are not in the vocabulary: {names}")
    return known[0], known[-1]
