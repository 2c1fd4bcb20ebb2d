"""Parameters and FLOPs of a generator, part by part, from shapes alone.

Counted are matrix products with parameters (2 FLOPs per parameter and token) and attention (4 per
query, key and channel), both with the padding that is computed. Norms, softmax, rotations and gates
are left out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from seedance_jax.data import schema, sources
from seedance_jax.models.conditioning import Condition
from seedance_jax.models.windows import window_grid
from seedance_jax.pretrained import text_encoder
from seedance_jax.pretrained.generators import build_generator
from seedance_jax.sampling.sizes import latent_shape


class Forward(NamedTuple):
    """A forward pass as shapes: nothing is allocated.

    Attributes:
      params: boxed parameters (they carry their logical axes), jax.ShapeDtypeStruct.
      inputs: positional arguments of the module, jax.ShapeDtypeStruct.
    """

    model: nn.Module
    params: Any
    inputs: tuple


class Generation(NamedTuple):
    """The networks that a training step of a generator runs, for clips of one shape.

    Attributes:
      trained: Forward of the Generator.
      frozen: Forward of the frozen language model, or None if there is none.
      text_tokens: S, text tokens that the DiT gets.
    """

    trained: Forward
    frozen: Forward | None
    text_tokens: int

    @property
    def params(self) -> dict[str, Any]:
        """Unboxed parameters of both networks in one tree."""
        frozen = {"text": self.frozen.params} if self.frozen else {}
        return nn.unbox({**self.trained.params, **frozen})

    @property
    def condition(self) -> Condition:
        """The condition of the trained Generator, as shapes."""
        return self.trained.inputs[2]

    @property
    def latents(self) -> tuple[int, int, int]:
        """(T, H, W) of the latents of the clip."""
        return self.trained.inputs[0].shape[1:4]


def make_program(
    config: Mapping[str, Any],
    latents: tuple[int, int, int],
    attention: str | None = None,
    remat: str = "none",
) -> Generation:
    """The `Generation` of a config for one clip with latents of shape (T, H, W).

    Args:
      attention: replaces `model.attention` of the config.
      remat: replaces `model.remat` of the config.
    """
    fields = config["model"] | {"remat": remat}
    fields |= {"attention": attention} if attention else {}
    model = build_generator(config["text"], fields, schema.LATENT_CHANNELS)
    text, frozen, text_tokens = _text_inputs(config)
    t, h, w = latents
    video = _array((t, h, w, schema.LATENT_CHANNELS))
    given = {"given": video, "given_mask": _array((t,)), "fps": _array(())}
    condition = Condition(*text, frame_shot=_array((t,), jnp.int32), **given)
    return Generation(_forward(model, (video, _array(()), condition)), frozen, text_tokens)


def _text_inputs(config):
    """(text inputs of the generator, Forward of a frozen language model or None, S)."""
    text, length = text_encoder.DEFAULTS | config["text"], config["data"]["text_length"]
    ids = tuple(_array((length,), dtype) for dtype in (jnp.int32, bool, jnp.int32))
    if text["mode"] == "joint":
        return ids, None, min(text["max_words"] or length, length)
    model, own = text_encoder.read_model(text)
    count = own.get("max_words") or length
    tokens = _array((count, model.width * len(model.layers)), model.dtype)
    marks = (_array((count,), bool), _array((count,), jnp.int32))
    return (tokens, *marks), _forward(model, ids) if text["mode"] == "frozen" else None, count


def _array(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct((1, *shape), dtype)


def _forward(model, inputs):
    return Forward(model, jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"], inputs)


class Row(NamedTuple):
    """Parameters and forward FLOPs (products with parameters, attention) of one part."""

    name: str
    parameters: int
    gemm: int
    attention: int

    @property
    def flops(self) -> int:
        return self.gemm + self.attention


PATCH, TIME, TEXT_MODEL, TEXT_IN = "patch", "time", "text model", "text in"
VIDEO, TEXT, TEMPORAL, HEAD = "spatial: video", "spatial: text", "temporal", "head"
PARTS = (PATCH, TIME, TEXT_MODEL, TEXT_IN, VIDEO, TEXT, TEMPORAL, HEAD)
ENDS = {"text_norm": TEXT_IN, "text_in": TEXT_IN, "out": HEAD}


def part_of(path: tuple[str, ...]) -> str:
    """The one of PARTS that the parameter at a path of names belongs to."""
    if path[0] == "text":
        return TEXT_MODEL
    if path[1].startswith("patch"):  # and the adapters of conditions
        return PATCH
    if path[1] != "pairs":
        return ENDS.get(path[1], TIME)
    _, _, _, block, layer, *_ = path
    return TEMPORAL if block == "temporal" else TEXT if layer.startswith("text") else VIDEO


def count(program: Generation) -> list[Row]:
    """One row for each of PARTS, for one clip."""
    tokens, attention = _tokens(program), _attention(program)
    parameters, gemm = Counter(), Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(program.params):
        names = tuple(entry.key for entry in path)
        part = part_of(names)
        parameters[part] += leaf.size
        if names[-1] == "kernel":
            # Temporal projections see padded windows, whose number depends on the pair's shift.
            padded = part == TEMPORAL and names[4] != "mlp"
            gemm[part] += 2 * leaf.size * tokens[names[2] if padded else part]
    return [Row(part, parameters[part], gemm[part], attention[part]) for part in PARTS]


def total(rows: Iterable[Row]) -> Row:
    """The sum of rows, as a row."""
    return Row("total", *(sum(row[i] for row in rows) for i in (1, 2, 3)))


# {what a run makes: training FLOPs per forward FLOP}; frozen parameters need no gradient.
PASSES = {"generator": 3, "adapters": 2}


def training_flops(config: ConfigDict, makes: str) -> float | None:
    """FLOPs of the mean training step of a config, or None if they are not counted.

    Only the generator counts: no frozen encoder, and no recomputation.

    Args:
      makes: what a run of the config makes.
    """
    if makes not in PASSES:
        return None
    settings, buckets = config.to_dict(), sources.make_buckets(config.data.buckets)
    flops = [
        bucket.batch_size * total(count(make_program(settings, latent_shape(*bucket.shape)))).flops
        for bucket in buckets
    ]
    return PASSES[makes] * float(np.average(flops, weights=[bucket.weight for bucket in buckets]))


def step_flops(program: Generation, remat: str) -> int:
    """FLOPs of a training step on one clip.

    The backward pass costs twice the forward pass and recomputes the attention weights;
    remat="full" adds another forward pass. A frozen language model only runs forward.
    """
    is_frozen = {TEXT_MODEL: program.frozen is not None}
    rows = count(program)
    trained = total([row for row in rows if not is_frozen.get(row.name)])
    once = total(rows).flops - trained.flops
    return once + (3 + (remat == "full")) * trained.flops + trained.attention


def _windows(program):
    """[(M, P)] of the temporal blocks, for each pair of blocks in one scan step."""
    _, h, w = program.latents
    dit = program.trained.model.dit
    full = dit.get("attention") == "full"
    window, shifts = ((h, w), [(0, 0)]) if full else (dit["window"], _shifts(program))
    grids = [window_grid(window, shift, (h, w)) for shift in shifts]
    return [(rows[1] * columns[1], math.prod(window)) for rows, columns in grids]


def _shifts(program):
    """See DiT.shifts."""
    return program.trained.model.bind({"params": {}}).video.shifts


def scan_steps(program: Generation) -> int:
    """Iterations of the scan over depth."""
    return program.trained.model.dit["depth"] // len(_shifts(program))


def _tokens(program):
    """{part: tokens that its kernels multiply}, and under pair{i} those of padded windows."""
    t, h, w = program.latents
    video, text = t * h * w, program.text_tokens
    padded = {f"pair{i}": t * m * p for i, (m, p) in enumerate(_windows(program))}
    times = 2  # one of the video, one of the text
    outside = {PATCH: video, TIME: times, TEXT_MODEL: text_length(program), TEXT_IN: text}
    return outside | {VIDEO: video, TEXT: text, TEMPORAL: video, HEAD: video} | padded


def text_length(program: Generation) -> int:
    """Token ids that the text model reads."""
    ids = program.frozen.inputs[0] if program.frozen else program.condition.text
    return ids.shape[1]


def attention_pairs(program: Generation) -> dict[str, list[int]]:
    """{part: [(query, key) pairs in one block of the DiT, for each shift of its windows]}."""
    (t, h, w), text = program.latents, program.text_tokens
    video = t * h * w
    keys = video if program.trained.model.dit.get("attention") == "full" else h * w
    return {
        VIDEO: [video * (keys + text)],
        TEXT: [text * (video + text)],
        TEMPORAL: [m * (t * p) ** 2 for m, p in _windows(program)],
    }


def _attention(program):
    """{part: FLOPs of its attention}."""
    dit = program.trained.model.dit
    layers = 4 * dit["width"] * dit["depth"]
    pairs = attention_pairs(program)
    work = {part: round(layers * sum(own) / len(own)) for part, own in pairs.items()}
    return Counter(work | {TEXT_MODEL: 4 * text_length(program) ** 2 * _text_channels(program)})


def _text_channels(program):
    """Channels of the queries of the text model, over all its layers."""
    leaves = traverse_util.flatten_dict(program.params.get("text", {}))
    kernels = [leaf.shape for path, leaf in leaves.items() if path[-2:] == ("query", "kernel")]
    return sum(math.prod(shape) // shape[-3] for shape in kernels)
