"""Language models that encode captions as the generator's text tokens, and precomputed tokens.

`config.text.mode` says where text tokens come from: a byte-level model trained with the generator
("joint"), a frozen model ("frozen"), or tokens that such a model computed for all captions of the
data set beforehand ("precomputed", by `python -m seedance_jax encode`). A caption's first token
depends on the start token alone, so it is also the encoding of the empty caption, which caption
dropout needs.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh

from seedance_jax.data import schema, sources
from seedance_jax.data import tokenizer as tokenizers
from seedance_jax.data.builders import storage
from seedance_jax.data.builders.side_tables import build_texts, open_table
from seedance_jax.data.remote import Place
from seedance_jax.models.public import hugging_face, qwen
from seedance_jax.models.text import TextModel, as_stored, pool_words, word_count
from seedance_jax.pretrained import language_model
from seedance_jax.pretrained.latents import describe_clips
from seedance_jax.training import checkpoint, run_directory

MODES = ("joint", "frozen", "precomputed")
DEFAULTS = run_directory.LACKED["text"]  # of the section `text` of a config
SPACE_ID = tokenizers.BYTE_OFFSET + ord(" ")
BATCH = 32  # captions


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A pretrained language model with its tokenizer.

    Attributes:
      params: sharded over a mesh, or None if they are not loaded.
      max_words: see `pool_words`; 0 keeps every token.
      identity: everything that determines its text tokens (JSON).
    """

    model: TextModel
    params: Any
    tokenizer: tokenizers.Tokenizer
    max_words: int
    identity: dict[str, Any]

    def positions(self, text_length: int) -> int:
        """Text tokens that `text_length` ids become at most."""
        return self.max_words or text_length

    @property
    def width(self) -> int:
        """Channels E of a text token."""
        return self.model.width * len(self.model.layers)


def encode(
    model: TextModel,
    max_words: int,
    params: Any,
    ids: jax.Array,
    mask: jax.Array,
    shot: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Text tokens [B, S, E], their mask and shot [B, S], of ids, mask and shot [B, ids].

    Without gradient, and rounded like precomputed ones (`as_stored`).
    """
    hidden = jax.lax.stop_gradient(model.apply({"params": params}, ids, mask, shot))
    return pool_words(as_stored(hidden), ids, mask, shot, SPACE_ID, max_words)


def check_mode(text: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown mode in the section `text`, or fields that do not fit it."""
    mode, path = text["mode"], text["path"]
    if mode not in MODES:
        raise ValueError(f"text.mode={mode!r} is not one of {MODES}")
    if (mode != "joint") != bool(path):
        need = "none" if path else "a language model, a Hugging Face directory or a run"
        raise ValueError(f"text.path={path!r}: text.mode={mode!r} needs {need}")
    if mode == "joint" and text["tokenizer"] != "bytes" and text["max_words"]:
        raise ValueError(
            f"text.max_words={text['max_words']} counts words of bytes; text.tokenizer="
            f"{text['tokenizer']!r} needs 0, which keeps every token"
        )


def open_encoder(text: Mapping[str, Any], mesh: Mesh | None = None) -> Encoder:
    """The `Encoder` of the section `text` of a config with mode frozen or precomputed.

    Args:
      mesh: for the parameters of a Hugging Face directory; None does not load them.

    Raises:
      FileNotFoundError: text.path is neither a Hugging Face directory nor a run.
      ValueError: an unsupported model, or a tokenizer that does not fit it.
    """
    model, own = read_model(text)
    opened = _open_run if own else _open_directory
    params, tokenizer, fingerprint = opened(text["path"], model, own)
    max_words = own["max_words"] if own else 0
    identity = {
        "language": fingerprint,
        "layers": list(model.layers),
        "tokenizer": tokenizer.identity,
        "dtype": jnp.dtype(model.dtype).name,
        "max_words": max_words,
    }
    encoder = Encoder(model, params, tokenizer, max_words, identity)
    return encoder if mesh is None else with_params(encoder, text, mesh)


def with_params(encoder: Encoder, text: Mapping[str, Any], mesh: Mesh) -> Encoder:
    """An encoder of `open_encoder` with its parameters, of which each process reads its shards."""
    if encoder.params is not None:
        return encoder
    params = qwen.load_params(encoder.model, qwen.open_directory(text["path"]), mesh)
    return dataclasses.replace(encoder, params=params)


def read_model(text: Mapping[str, Any]) -> tuple[TextModel, dict[str, Any]]:
    """The TextModel of the section `text` of a config, from config.json in text.path alone.

    Returns:
      (model, section `text` of the run that trained it; {} for a Hugging Face directory).
    """
    check_mode(text)
    path, config = text["path"], run_directory.read_json(text["path"], "config.json")
    chosen = {"layers": tuple(text["layers"]), "dtype": text["dtype"]}
    if "stage" not in config:
        return qwen.make_model(path, **chosen), {}
    own = DEFAULTS | config.get("text", {})
    if own["mode"] != "joint" or "width" not in own:
        raise ValueError(f"text.path={path!r} is a run that has not trained a language model")
    return TextModel(**model_fields(own) | chosen), own


def _open_directory(path, model, own):
    """(None, tokenizer, fingerprint) of a Hugging Face directory; see `with_params`."""
    del own
    tokenizer = tokenizers.open_tokenizer(path)
    language_model.check_vocabulary(model, tokenizer)
    return None, tokenizer, hugging_face.fingerprint(path)


def _open_run(path, model, own):
    """(params, tokenizer, fingerprint) of the byte-level model trained with a generator."""
    del model  # it is small enough for one device
    params = checkpoint.load(path, parts=("text",))["text"]
    tokenizer = tokenizers.open_tokenizer(own["tokenizer"])
    return params, tokenizer, run_directory.fingerprint(params)


def model_fields(text: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the TextModel of the section `text` of a config with mode joint."""
    tokenizer = tokenizers.open_tokenizer(text["tokenizer"])
    names = ("width", "depth", "heads", "dtype", "gradients")
    fields = {name: text[name] for name in names if name in text}
    return fields | {"vocab_size": tokenizer.vocab_size, "layers": tuple(text["layers"])}


def open_tokens(data: Mapping[str, Any], encoder: Encoder) -> Any:
    """The precomputed text tokens of all training clips (`side_tables.open_table`).

    Raises:
      ValueError: there are none of this encoder; the message says how existing ones differ.
    """
    expected = describe(data, encoder)
    directory = storage.dataset_directory(data["data_dir"], "texts", expected)
    if not storage.is_complete(directory):
        others = [_difference(path, expected) for path in directory.parent.glob("*/spec.json")]
        found = "".join(f"\n  there is {other}" for other in others)
        raise ValueError(
            f"no text tokens of these clips by language model {encoder.identity['language']} in "
            f"{directory}{found}\nmake them with the same config:\n"
            "  python -m seedance_jax encode --config=..."
        )
    longest = storage.read_report(directory)["longest"]
    if longest > (limit := encoder.positions(data["text_length"])):
        raise ValueError(
            f"a clip of {directory} has {longest} text tokens, the text length is {limit}: "
            f"data.text_length must be {longest} or more"
        )
    return open_table(directory, "texts", expected)


def _difference(path, expected):
    found = json.loads(path.read_text())
    differing = {key: found.get(key) for key in expected if found.get(key) != expected[key]}
    return f"{path.parent.name} with " + ", ".join(f"{k}={v!r}" for k, v in differing.items())


def describe(data: Mapping[str, Any], encoder: Encoder) -> dict[str, Any]:
    """Everything that determines the values of precomputed text tokens (JSON)."""
    return {**describe_clips(data), **encoder.identity}


def encode_all(data: Mapping[str, Any], encoder: Encoder) -> Place:
    """Writes the text tokens of all training clips unless they exist; returns their directory."""
    from seedance_jax.data import loader  # as below: who reads captions alone needs no Grain

    source = sources.open_split(data, "train")
    loader.check_captions(source, data["text_length"], encoder.tokenizer)
    check_rows(source, encoder.max_words)
    metadata = describe(data, encoder)
    directory = storage.dataset_directory(data["data_dir"], "texts", metadata)
    return build_texts(directory, encode_rows(source, data["text_length"], encoder), metadata)


def encode_rows(
    source: Sequence[Mapping[str, Any]], text_length: int, encoder: Encoder
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields (id, tokens float32 [S, E], shot int [S]) of every row, its captions in order."""
    parts = tqdm.tqdm(
        encode_captions(_captions(source), text_length, encoder),
        desc="encode captions",
        unit="caption",
        mininterval=1.0,
    )
    for name, captions in itertools.groupby(parts, key=lambda part: part[0]):
        _, shots, tokens = zip(*captions, strict=True)
        yield name, np.concatenate(tokens), np.repeat(shots, [len(part) for part in tokens])


def _captions(source):
    """(id, shot, caption) of every caption of every row."""
    for number in range(len(source)):
        row = source[number]
        for shot, caption in schema.captions_of(row["caption"], schema.read_shots(row)).items():
            yield row["id"], np.int32(shot), caption


def encode_captions(
    captions: Iterable[tuple[str, np.int32, str]], text_length: int, encoder: Encoder
) -> Iterator[tuple[str, np.int32, np.ndarray]]:
    """(id, shot, caption) -> (id, shot, tokens float32 [S, E]), each caption by itself."""
    run = jax.jit(functools.partial(encode, encoder.model, encoder.max_words))
    for batch in _batches(captions, BATCH):
        texts = [caption for _, _, caption in batch] + [""] * (BATCH - len(batch))
        encoded = (encoder.tokenizer.encode(text, text_length) for text in texts)
        ids, mask = (np.stack(arrays) for arrays in zip(*encoded, strict=True))
        tokens, kept, _ = jax.device_get(run(encoder.params, ids, mask, np.zeros_like(ids)))
        for (name, shot, _), own, valid in zip(batch, tokens, kept, strict=False):
            yield name, shot, own[valid].astype(np.float32)


def _batches(items, size):
    """Lists of `size` items; the last may be shorter (`itertools.batched` is of Python 3.12)."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def check_words(captions: Collection[str], limit: int) -> None:
    """Raises ValueError if the captions of a clip have more than `limit` words; 0: no limit."""
    count = sum(word_count(caption) for caption in captions)
    if limit and count > limit:
        raise ValueError(
            f"captions have {count - len(captions)} words and {len(captions)} starts, "
            f"text.max_words={limit}: {list(captions)}"
        )


def check_rows(source: Sequence[Mapping[str, Any]], limit: int, motion: bool = False) -> None:
    """`check_words` of all captions of the rows that training keeps; motion: and of the
    motion-only ones."""
    from seedance_jax.data import loader

    for caption in loader.motion_captions(source) if limit and motion else ():
        check_words([caption], limit)
    kept = {*loader.kept_rows(source).tolist()}
    for number, captions in enumerate(loader.captions_of_rows(source) if limit else ()):
        if number in kept:
            check_words(captions.values(), limit)
