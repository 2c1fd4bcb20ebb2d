"""Language models with their tokenizers: text tokens for the generator, and text generation."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from seedance_jax.data import tokenizer as tokenizers
from seedance_jax.models.public import qwen
from seedance_jax.models.text import TextModel, caption_positions


@dataclasses.dataclass(frozen=True)
class Language:
    """A language model with its output layer and tokenizer, for generation.

    Attributes:
      context: longest input in tokens.
      end_ids: ids of the end-of-text tokens.
    """

    model: TextModel
    params: Any
    tokenizer: tokenizers.Tokenizer
    context: int
    end_ids: tuple[int, ...]


def open_language(directory: str | Path, mesh: Mesh, *, dtype: Any = "bfloat16") -> Language:
    """The `Language` of a Hugging Face directory; see `qwen.load`."""
    model, params = qwen.load(directory, mesh, dtype=dtype, head=True)
    tokenizer = tokenizers.open_tokenizer(str(directory))
    check_vocabulary(model, tokenizer)
    context, end_ids = qwen.read_limits(directory)
    return Language(model, params, tokenizer, context, end_ids)


def check_vocabulary(model: TextModel, tokenizer: tokenizers.Tokenizer) -> None:
    """Raises ValueError if the tokenizer has more ids than the model's vocabulary."""
    if tokenizer.vocab_size > model.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} ids, the model's vocab_size="
            f"{model.vocab_size}: they do not belong together"
        )


class Draws(NamedTuple):
    """Settings of sampling.

    Attributes:
      key: for sampling.
      temperature: divides the logits.
      top_p: samples among the most likely tokens with this total probability; 0 is greedy.
    """

    key: jax.Array
    temperature: float = 1.0
    top_p: float = 0.0


@functools.partial(jax.jit, static_argnums=0, static_argnames=("new_tokens", "end_ids"))
def generate(
    model: TextModel,
    params: Any,
    ids: jax.Array,
    mask: jax.Array,
    draws: Draws,
    *,
    new_tokens: int,
    end_ids: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
    """Continues texts up to an end token; compiled once per shape.

    Args:
      model: a TextModel whose `layers` is (-1,).
      ids, mask: texts int32 [B, S] and bool [B, S], padded at the end.
      new_tokens: number of tokens at most.
      end_ids: ids of end-of-text tokens.

    Returns:
      ids int32 [B, new_tokens] and their mask, False from the end token on.
    """
    batch, length = ids.shape
    slots = length + new_tokens
    counts = mask.sum(1)
    order = jnp.arange(slots)
    valid = jnp.pad(mask, ((0, 0), (0, new_tokens)))

    def extend(cache, ids, positions, valid, slot):
        rows = slot + jnp.arange(ids.shape[1])
        visible = ((rows[:, None] >= order) & valid[:, None, :])[:, None]  # [B, 1, S, slots]
        variables, arguments = {"params": params, **cache}, (ids, positions, visible, slot)
        return model.apply(variables, *arguments, method="extend", mutable=["cache"])

    def going_on(state):
        step, *_, done = state
        return (step < new_tokens) & ~done.all()

    def one_token(state):
        step, last, cache, valid, out, kept, done = state
        logits = model.apply({"params": params}, last, method="logits")
        key = jax.random.fold_in(draws.key, step)
        token = sample_top_p(key, logits, draws.temperature, draws.top_p)
        done = done | jnp.isin(token, jnp.array(end_ids, jnp.int32))
        out, kept = out.at[:, step].set(token), kept.at[:, step].set(~done)
        valid = valid.at[:, length + step].set(True)
        positions = (counts + step)[:, None]
        hidden, cache = extend(cache, token[:, None], positions, valid, length + step)
        return step + 1, hidden[:, 0], cache, valid, out, kept, done

    positions = caption_positions(mask, jnp.zeros_like(ids))
    hidden, cache = extend({}, ids, positions, valid, 0)
    last = jnp.take_along_axis(hidden, (counts - 1)[:, None, None], axis=1)[:, 0]
    blank = jnp.zeros((batch, new_tokens), jnp.int32)
    state = (0, last, cache, valid, blank, blank > 0, jnp.zeros(batch, bool))
    *_, out, kept, _ = jax.lax.while_loop(going_on, one_token, state)
    return out, kept


def sample_top_p(
    key: jax.Array, logits: jax.Array, temperature: jax.Array, top_p: jax.Array
) -> jax.Array:
    """Samples ids int32 [B] from logits [B, vocab_size], see `generate`."""
    order = jnp.argsort(-logits, axis=-1)
    ranked = jnp.take_along_axis(logits, order, axis=-1) / temperature
    share = jax.nn.softmax(ranked)
    kept = (jnp.cumsum(share, axis=-1) - share < top_p).at[:, 0].set(True)
    choice = jax.random.categorical(key, jnp.where(kept, ranked, -jnp.inf))
    return jnp.take_along_axis(order, choice[:, None], axis=-1)[:, 0].astype(jnp.int32)
