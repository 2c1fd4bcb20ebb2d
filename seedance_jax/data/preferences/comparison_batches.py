"""Batches of comparisons: that of step n is a function of (seed, n, config) alone.

A batch has, for B comparisons,

    clips       uint8 [B, 2, T, H, W, 3]     which of the two comes first is drawn
    text        int32 [B, 2, S]              the prompt of each clip, as the tokenizer has it
    text_mask   bool [B, 2, S]
    label       float32 [B]                  probability that the first is better
    good        float32 [B, 2]               NaN where that is not known
    dimension   int32 [B]                    of `comparisons.DIMENSIONS`
    source      int32 [B]                    of the names of `preferences.source`, in their order
    kind        int32 [B]                    of `comparisons.KINDS`
    severity    float32 [B]

Sources are mixed within a batch; the buckets of a config take turns, as in `data.loader`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from seedance_jax.data import sources
from seedance_jax.data.buckets import Bucket
from seedance_jax.data.loader import ENDLESS, child_seed, mix
from seedance_jax.data.preferences import mixtures
from seedance_jax.data.preferences.comparisons import (
    DIMENSIONS,
    KINDS,
    Comparison,
    Comparisons,
    exchanged,
)
from seedance_jax.data.tokenizer import BYTES, Tokenizer


class Form(grain.transforms.RandomMap):
    """Comparison -> example, see above, its clips in an order that is drawn."""

    def __init__(self, number: int, text_length: int, tokenizer: Tokenizer):
        self._number, self._text_length, self._tokenizer = number, text_length, tokenizer

    def random_map(self, element: Comparison, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The example of a comparison."""
        ordered = exchanged(element) if rng.integers(2) else element
        return to_example(ordered, self._number, self._text_length, self._tokenizer)


def to_example(
    comparison: Comparison, source: int, text_length: int, tokenizer: Tokenizer = BYTES
) -> dict[str, np.ndarray]:
    """One example of a batch, see above; source: its number."""
    coded = [tokenizer.encode(prompt, text_length) for prompt in comparison.prompts]
    return {
        "clips": comparison.clips,
        "text": np.stack([ids for ids, _ in coded]),
        "text_mask": np.stack([mask for _, mask in coded]),
        "label": np.float32(comparison.label),
        "good": np.array(comparison.good, np.float32),
        "dimension": np.int32(DIMENSIONS.index(comparison.dimension)),
        "source": np.int32(source),
        "kind": np.int32(KINDS.index(comparison.kind)),
        "severity": np.float32(comparison.severity),
    }


def open_training(
    data: Mapping[str, Any],
    preferences: Mapping[str, Any],
    *,
    seed: int,
    part: tuple[int, int] = (0, 1),
    tokenizer: Tokenizer = BYTES,
) -> grain.MapDataset:
    """Endless data set whose element n is this process's part of the batch of step n.

    Args:
      data, preferences: sections of a config, see `mixtures`.
      seed: of the order of the comparisons, and of the clips in each.
      part: (index, count) of this process, as of `loader.make_dataset`.

    Raises ValueError for what is wrong with the sources, before anything is trained.
    """
    opened = mixtures.open_sources(data, preferences, tokenizer)
    named = sources.named_weights(preferences["source"], "preferences.source")
    forms = [Form(number, data["text_length"], tokenizer) for number in range(len(named))]
    weights, parts = [weight for _, weight in named], []
    for number, (bucket, own) in enumerate(opened.items()):
        examples = mixed([*own.values()], forms, weights, child_seed(seed, number))
        parts.append(batched(examples, bucket, part))
    return grain.MapDataset.mix(parts, [bucket.weight for bucket in opened])


def mixed(
    comparisons: Sequence[Comparisons], forms: Sequence[Form], weights: Sequence[float], seed: int
) -> grain.MapDataset:
    """Endless examples of several sources, each in an order of its own, by their weights."""
    examples = [
        grain.MapDataset.source(source)
        .seed(child_seed(seed, number))
        .shuffle()
        .repeat(ENDLESS // len(source))
        .random_map(form)
        for number, (source, form) in enumerate(zip(comparisons, forms, strict=True))
    ]
    return mix(examples, weights)


def batched(examples: grain.MapDataset, bucket: Bucket, part: tuple[int, int]) -> grain.MapDataset:
    """This process's part of the batches of a bucket; ValueError if it cannot be cut so."""
    index, count = part
    if not 0 <= index < count or bucket.batch_size % count:
        raise ValueError(f"part {index} of {count} parts of a batch of {bucket.batch_size}")
    return examples.batch(bucket.batch_size // count, drop_remainder=True)[index::count]
