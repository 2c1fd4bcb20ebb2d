"""Whether the captions of a clip fit in the text that a model reads."""

from collections.abc import Mapping
from typing import Any

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
