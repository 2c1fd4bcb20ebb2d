"""What the kernels of `models/fused.py` compute of one head of one group of tokens.

Arrays are references to blocks of memory: [1, T, 1, P, K] of tokens and rotations, [1, S, K] of
text, [1, 1, S, K] of text in each group. Scratch arrays hold all tokens of the group as rows, each
frame's from a multiple of ROWS on, with zeros between; `hidden` is added to logits.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from seedance_jax.models.layers import EPSILON

LANES, ROWS = 128, 16  # of a tile of 16-bit numbers in fast memory
ROWS_BY_ROWS, ROWS_BY_COLUMNS = (((1,), (1,)), ((), ())), (((1,), (0,)), ((), ()))


class Shape(NamedTuple):
    """Of a head of a group: `rows` of scratch per frame, `keys` in all; `block` queries at once."""

    frames: int
    places: int
    channels: int
    rows: int
    keys: int
    block: int

    @property
    def queries(self) -> int:
        """Rows of queries: whole blocks."""
        return -(-self.keys // self.block) * self.block


class Text(NamedTuple):
    """Blocks of text: projections that are normalised, rotated and scaled, and `hidden`."""

    query: Any
    key: Any
    value: Any
    hidden: Any


def forward(shape: Shape, tokens: Any, text: Text | None, outs: Any, scratch: Any) -> None:
    """Attention.

    Args:
      tokens: (query, key, value, table, scales, hidden [1, 1, keys]).
      text: with hidden [1, 1, 1, S].
      outs: of the tokens; with text that of its attention to this group, and the logarithm of the
        sum of its exponentials, on all of [1, 1, S, K].
      scratch: queries, keys, values and outputs.
    """
    queries, keys, values, results = scratch
    _load(shape, tokens, scratch[:3])
    own = lambda: (keys[...], values[...], tokens[5][0])  # noqa: E731

    def block(rows):
        parts = [own()]
        if text is not None:
            parts.append((text.key[0], text.value[0], text.hidden[0, 0]))
        results[rows] = _attend(queries[rows], parts)[0].astype(results.dtype)

    _each_block(shape, block)
    _each_frame(shape, lambda t, rows: _put(outs[0], t, results[rows]))
    if text is not None:
        out, log_sum = _attend(text.query[0], [own()])
        outs[1][0, 0] = out.astype(outs[1].dtype)
        outs[2][0, 0] = jnp.broadcast_to(log_sum, outs[2].shape[2:])


def backward(
    shape: Shape, tokens: Any, text: Text | None, slopes: Any, outs: Any, scratch: Any
) -> None:
    """The gradients of `forward`.

    Args:
      tokens: as there, but hidden [1, keys, 1]; so has text, [1, 1, S, 1].
      slopes: gradients of what `forward` puts out.
      outs: gradients of query, key, value, scales [1, 1, 2, K], and of the text's query, key and
        value from this group, [1, 1, S, K].
      scratch: queries, keys, values and slopes, and in float32 the gradients of the first three.
    """
    queries, keys, values, results, *sums = scratch
    _load(shape, tokens, scratch[:3])
    _clear(shape, results)
    _each_frame(shape, lambda t, rows: _set(results, rows, slopes[0][0, t, 0]))
    for one in (*sums, *outs[3:]):
        one[...] = jnp.zeros_like(one)
    own = lambda: (keys[...], values[...], tokens[5][0])  # noqa: E731

    def add(gradients, *where):
        for one, (of_key, of_value) in zip(where, gradients, strict=True):
            one[0][...] += of_key
            one[1][...] += of_value

    if text is not None:
        of_log_sum = slopes[2][0, 0].T.sum(0, keepdims=True)
        outs[4][0, 0], gradients = _differentiate(
            text.query[0], slopes[1][0, 0], [own()], of_log_sum
        )
        add(gradients, sums[1:])

    def block(rows):
        parts, where = [own()], [sums[1:]]
        if text is not None:
            parts.append((text.key[0], text.value[0], text.hidden[0, 0]))
            where.append([one.at[0, 0] for one in outs[5:]])
        sums[0][rows], gradients = _differentiate(queries[rows], results[rows], parts)
        add(gradients, *where)

    _each_block(shape, block)
    _store(shape, tokens, outs[:4], sums)


def _attend(query, parts):
    """Attention of rows to all parts, each (key, value, hidden [1, keys]); its log-sum-exp."""
    logits = [_dot(query, key, ROWS_BY_ROWS) + hidden for key, _, hidden in parts]
    high = _largest(logits, 1)
    weights = [jnp.exp(one - high) for one in logits]
    total = sum(one.sum(1, keepdims=True) for one in weights)
    out = sum(
        _dot(one.astype(value.dtype), value, ROWS_BY_COLUMNS)
        for one, (_, value, _) in zip(weights, parts, strict=True)
    )
    return out / total, high + jnp.log(total)


def _differentiate(query, slope, parts, of_log_sum=0.0):
    """Gradients of the query, and of each part's (key, value), where hidden is [keys, 1].

    Arrays of logits are [keys, Q].

    Args:
      slope: gradient of the output of `_attend`, [Q, K].
      of_log_sum: of its other result, [1, Q].
    """
    logits = [_dot(key, query, ROWS_BY_ROWS) + hidden for key, _, hidden in parts]
    high = _largest(logits, 0)
    weights = [jnp.exp(one - high) for one in logits]
    factor = 1 / sum(one.sum(0, keepdims=True) for one in weights)
    weights = [one * factor for one in weights]
    of_weights = [_dot(value, slope, ROWS_BY_ROWS) for _, value, _ in parts]
    pairs = list(zip(weights, of_weights, strict=True))
    mean = sum((weight * one).sum(0, keepdims=True) for weight, one in pairs) - of_log_sum
    of_logits = [weight * (one - mean) for weight, one in pairs]
    of_query = sum(
        _dot(one.T.astype(query.dtype), key, ROWS_BY_COLUMNS)
        for one, (key, _, _) in zip(of_logits, parts, strict=True)
    )
    gradients = [
        (
            _dot(one.astype(query.dtype), query, ROWS_BY_COLUMNS),
            _dot(weight.astype(query.dtype), slope, ROWS_BY_COLUMNS),
        )
        for weight, one in zip(weights, of_logits, strict=True)
    ]
    return of_query, gradients


def _store(shape, tokens, outs, sums):
    """Gradients of the projections and scales from those of what `_load` made of them."""

    def put(t, rows):
        angles, scales = tokens[3][0, t, 0], tokens[4]
        for i in range(2):
            gradient, of_scale = _turned_back(
                tokens[i][0, t, 0], scales[i : i + 1], angles, sums[i][rows]
            )
            _put(outs[i], t, gradient)
            outs[3][0, 0, i : i + 1] += of_scale
        _put(outs[2], t, sums[2][rows])

    _each_frame(shape, put)


def _dot(left, right, dimensions):
    return jax.lax.dot_general(left, right, dimensions, preferred_element_type=jnp.float32)


def _largest(parts, axis):
    high = parts[0].max(axis, keepdims=True)
    for one in parts[1:]:
        high = jnp.maximum(high, one.max(axis, keepdims=True))
    return high


def _each_frame(shape, function):
    """Calls function(t, rows of the frame in scratch) for every frame."""
    if shape.frames == 1:
        return function(0, pl.ds(0, shape.places))

    def step(t, _):
        function(t, pl.ds(pl.multiple_of(t * shape.rows, ROWS), shape.places))

    return jax.lax.fori_loop(0, shape.frames, step, None)


def _each_block(shape, function):
    """Calls function(rows) for every block of queries."""

    def step(i, _):
        function(pl.ds(pl.multiple_of(i * shape.block, LANES), shape.block))

    jax.lax.fori_loop(0, shape.queries // shape.block, step, None)


def _load(shape, tokens, scratch):
    """Projections to scratch, queries and keys normalised and rotated."""
    for one in scratch:
        _clear(shape, one)

    def load(t, rows):
        angles, scales = tokens[3][0, t, 0], tokens[4]
        for i in range(2):
            _set(scratch[i], rows, _turned(tokens[i][0, t, 0], scales[i : i + 1], angles))
        _set(scratch[2], rows, tokens[2][0, t, 0])

    _each_frame(shape, load)


def _clear(shape, scratch):
    """Zeros in the rows that no token fills: what was there may be no number."""
    if shape.frames * shape.places != scratch.shape[0]:
        scratch[...] = jnp.zeros_like(scratch)


def _set(scratch, rows, values):
    scratch[rows] = values.astype(scratch.dtype)


def _put(out, t, values):
    out[0, t, 0] = values.astype(out.dtype)


def _normalised(x):
    """float32 rows of mean square 1, and the factors [P, 1]."""
    x = x.astype(jnp.float32)
    factor = jax.lax.rsqrt((x * x).mean(1, keepdims=True) + EPSILON)
    return x * factor, factor


def _rotation(angles):
    """Factors of a row and of the row with its halves exchanged, from (cos, sin) side by side."""
    half = angles.shape[1] // 2
    other, first = _exchanged(angles), jax.lax.broadcasted_iota(jnp.int32, angles.shape, 1) < half
    return jnp.where(first, angles, other), jnp.where(first, -other, angles)


def _exchanged(x):
    return pltpu.roll(x, x.shape[1] // 2, 1)


def _turned(x, scale, angles):
    """Normalised and rotated, float32."""
    y, (own, other) = _normalised(x)[0] * scale, _rotation(angles)
    return y * own + _exchanged(y) * other


def _turned_back(x, scale, angles, slope):
    """Gradients of x and of scale from that of `_turned`."""
    (y, factor), (own, other) = _normalised(x), _rotation(angles)
    slope = slope * own + _exchanged(slope * other)
    of_scale = (slope * y).sum(0, keepdims=True)
    slope = slope * scale
    return factor * (slope - y * (slope * y).mean(1, keepdims=True)), of_scale
