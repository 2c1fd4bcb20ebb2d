"""The captions of clips as the text that a model reads, and whether they fit in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedance_jax.data.transforms import encode_captions
from seedance_jax.pretrained.text_encoder import word_count
from seedance_jax.sampling.shots import quote


def check_context(name: str, captions: Mapping[int, str], pipeline: Any) -> None:
    """Raises ValueError unless the model can read the captions ({shot: text}) whole."""
    if too_many := excess(captions, pipeline):
        texts = list(captions.values())
        where = quote(texts[0]) if len(texts) == 1 else f"in {len(texts)} captions: {quote(texts)}"
        raise ValueError(f"{name} has {too_many}: {where}")


def excess(captions: Mapping[int, str], pipeline: Any) -> str:
    """By what captions ({shot: text}) are too long for the model, as text; "" if they are not."""
    texts, starts = list(captions.values()), len(captions)
    tokens = sum(map(pipeline.tokenizer.count, texts))
    limits = {"tokens": (tokens, pipeline.metadata["text_length"])}
    if pipeline.max_words:
        limits["words"] = (sum(map(word_count, texts)), pipeline.max_words)
    for unit, (count, limit) in limits.items():
        if count > limit:
            return f"{count - starts} {unit}, the model reads at most {limit - starts}"
    return ""


def encode_texts(
    scripts: Sequence[Any], negative_prompt: str, order: np.ndarray, pipeline: Any
) -> tuple[dict, dict]:
    """The captions of the clips, and the negative ones in their places, see `requests.Plan`."""

    def encode(name, captions):
        check_context(name, captions, pipeline)
        return encode_captions(captions, pipeline.metadata["text_length"], pipeline.tokenizer)

    def rows(name, texts):
        encoded = [encode(name, captions) for captions in texts]
        return {field: np.stack([row[field] for row in encoded])[order] for field in encoded[0]}

    away = [dict.fromkeys(script.captions, negative_prompt) for script in scripts]
    positive = rows("prompt", [script.captions for script in scripts])
    return positive, rows("negative_prompt", away)
