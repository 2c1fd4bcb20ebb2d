"""What a generator costs before it runs, from shapes alone: parameters and operations per part.

Counted are the products with weights (two operations per weight and token) and attention (four per
query, key and channel), both with the padding that they compute on. Norms, softmax, rotations and
gates are not: `xla_flops`, the compiler's own count of the same program, has them.
"""

import functools
import math
from collections import Counter
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from seedance_jax.data import schema
from seedance_jax.data.loader import Bucket
from seedance_jax.models.dit import BlockPairs, window_grid
from seedance_jax.models.text import TextBlock
from seedance_jax.sampling.runs import build_generator
from seedance_jax.sampling.sizes import resolve_size


def clip_shape(size, seconds, fps):
    """(frames, height, width) of a clip of a named size at 16:9.

    Raises:
      ValueError: an unknown size, or a duration that is not a whole number of latent frames.
    """
    steps = seconds * fps / schema.FRAME_STRIDE
    if steps < 0 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(
            f"seconds={seconds} at {fps} fps must be a multiple of {schema.FRAME_STRIDE} frames"
        )
    return 1 + schema.FRAME_STRIDE * round(steps), *resolve_size(size, "16:9", None, None)


def latent_shape(frames, height, width):
    """(T, H, W) of the latents of a clip; ValueError if it has none."""
    Bucket(frames, height, width, batch_size=1)  # raises
    strides = schema.FRAME_STRIDE, schema.PIXEL_STRIDE
    return (frames - 1) // strides[0] + 1, height // strides[1], width // strides[1]


class Program(NamedTuple):
    """A generator at one shape of clip, nothing of it allocated.

    Attributes:
      model: Generator.
      params: its boxed parameters, as shapes.
      inputs: its arguments, as shapes.
      words: how many text tokens the DiT gets.
    """

    model: Any
    params: Any
    inputs: Any
    words: int


def make_program(config, latents, attention=None, remat="none"):
    """The program of a config (a dict) for one clip with latents of shape (T, H, W)."""
    fields = config["model"] | {"remat": remat}
    fields |= {"attention": attention} if attention else {}
    model = build_generator(config["text"], fields, schema.LATENT_CHANNELS)
    length, (t, h, w) = config["data"]["text_length"], latents
    array = lambda shape, dtype=jnp.float32: jax.ShapeDtypeStruct((1, *shape), dtype)  # noqa: E731
    text = tuple(array((length,), dtype) for dtype in (jnp.int32, bool, jnp.int32))
    video = array((t, h, w, schema.LATENT_CHANNELS))
    inputs = (video, array(()), text, (array((t,), jnp.int32), video, array((t,))))
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    encode = functools.partial(model.apply, method="encode_text")
    tokens, _, _ = jax.eval_shape(encode, {"params": nn.unbox(params)}, *text)
    return Program(model, params, inputs, tokens.shape[1])


class Row(NamedTuple):
    """Parameters of a part, and forward operations: products with weights, and attention."""

    name: str
    parameters: int
    gemm: int
    attention: int

    @property
    def flops(self):
        return self.gemm + self.attention


PATCH, TIME, TEXT_MODEL, TEXT_IN = "patch", "time", "text model", "text in"
VIDEO, TEXT, TEMPORAL, HEAD = "spatial: video", "spatial: text", "temporal", "head"
PARTS = (PATCH, TIME, TEXT_MODEL, TEXT_IN, VIDEO, TEXT, TEMPORAL, HEAD)
ENDS = {"patch": PATCH, "text_norm": TEXT_IN, "text_in": TEXT_IN, "out": HEAD}


def part_of(path):
    """The part of a generator that a parameter belongs to; path: its names from the top down."""
    if path[0] == "text":
        return TEXT_MODEL
    if path[1] != "pairs":
        return ENDS.get(path[1], TIME)
    _, _, _, block, layer, *_ = path
    return TEMPORAL if block == "temporal" else TEXT if layer.startswith("text") else VIDEO


def count(program):
    """The rows of all PARTS for one clip."""
    tokens, attention = _tokens(program), _attention(program)
    parameters, gemm = Counter(), Counter()
    for path, leaf in jax.tree_util.tree_leaves_with_path(nn.unbox(program.params)):
        names = tuple(entry.key for entry in path)
        part = part_of(names)
        parameters[part] += leaf.size
        if names[-1] == "kernel":
            # Temporal projections work on whole windows; the pairs differ in their shift.
            cut = part == TEMPORAL and names[4] != "mlp"
            gemm[part] += 2 * leaf.size * tokens[names[2] if cut else part]
    return [Row(part, parameters[part], gemm[part], attention[part]) for part in PARTS]


def total(rows):
    """The sum of rows, as a row."""
    return Row("total", *(sum(row[i] for row in rows) for i in (1, 2, 3)))


def _windows(program):
    """[(windows, positions in each)] of the temporal blocks, pair after pair of one scan step."""
    _, _, h, w, _ = program.inputs[0].shape
    dit = program.model.dit
    full = dit.get("attention") == "full"
    window, shifts = ((h, w), [(0, 0)]) if full else (dit["window"], _shifts(program))
    grids = [window_grid(window, shift, (h, w)) for shift in shifts]
    return [(rows[1] * columns[1], math.prod(window)) for rows, columns in grids]


def _shifts(program):
    """See DiT.shifts."""
    return program.model.bind({"params": {}}).video.shifts


def scan_steps(program):
    """How many times the scan over depth runs its body."""
    return program.model.dit["depth"] // len(_shifts(program))


def _tokens(program):
    """How many tokens the kernels of a part see, and those of the projections of pair{i}."""
    _, t, h, w, _ = program.inputs[0].shape
    video = t * h * w
    padded = {f"pair{i}": t * m * p for i, (m, p) in enumerate(_windows(program))}
    words, length = program.words, program.inputs[2][0].shape[1]
    times = 2  # of the frames, and of the text
    sides = {PATCH: video, TIME: times, TEXT_MODEL: length, TEXT_IN: words, HEAD: video}
    return sides | {VIDEO: video, TEXT: words, TEMPORAL: video} | padded


def _attention(program):
    """Operations of attention by part."""
    _, t, h, w, _ = program.inputs[0].shape
    dit, words, video = program.model.dit, program.words, t * h * w
    keys = video if dit.get("attention") == "full" else h * w
    windows = _windows(program)
    pairs = sum(m * (t * p) ** 2 for m, p in windows) / len(windows)  # (query, key), per block
    layers = 4 * dit["width"] * dit["depth"]
    return Counter(
        {
            VIDEO: layers * video * (keys + words),
            TEXT: layers * words * (video + words),
            TEMPORAL: round(layers * pairs),
            TEXT_MODEL: 4 * program.inputs[2][0].shape[1] ** 2 * _text_channels(program),
        }
    )


def _text_channels(program):
    """Channels of the queries of the text model, over all its layers."""
    leaves = jax.tree_util.tree_leaves_with_path(nn.unbox(program.params)["text"])
    queries = [leaf.shape for path, leaf in leaves if "query" in str(path) and leaf.ndim > 2]
    return sum(math.prod(shape) // shape[-3] for shape in queries)


def lowered_flops(function, *shapes):
    """The compiler's count for a function at these shapes, nothing being run or compiled."""
    return jax.jit(function).lower(*shapes).cost_analysis()["flops"]


def xla_flops(program):
    """Forward operations as the compiler counts them.

    It counts the body of a loop once. So one step of each scan over depth, lowered by itself with
    the shapes that it gets inside of the model, is added for every further step.
    """
    bodies = {}

    def note(call, args, kwargs, context):
        if isinstance(context.module, BlockPairs | TextBlock) and context.method_name == "__call__":
            bodies[type(context.module)] = context.module, args
        return call(*args, **kwargs)

    params = nn.unbox(program.params)
    with nn.intercept_methods(note):
        jax.eval_shape(program.model.apply, {"params": params}, *program.inputs)
    flops = lowered_flops(program.model.apply, {"params": params}, *program.inputs)
    for kind, part in (
        (BlockPairs, params["video"]["pairs"]),
        (TextBlock, params["text"]["blocks"]),
    ):
        block, args = bodies[kind]
        flops += (steps_of(part) - 1) * body_flops(block.clone(parent=None, name=None), part, args)
    return flops


def steps_of(stacked):
    """How many layers the stacked parameters of a scan hold."""
    return jax.tree.leaves(stacked)[0].shape[0]


def body_flops(block, stacked, args):
    """`lowered_flops` of one step of a scan over parameters."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stacked)
    return lowered_flops(block.apply, {"params": one}, *_shapes_of(args))


def _shapes_of(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
