"""Tables about the model of a config: parameters, FLOPs and memory."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from seedance_jax import sharding
from seedance_jax.models.vae import VAE
from seedance_jax.performance import cost, memory
from seedance_jax.performance.compiled.flops import forward_flops
from seedance_jax.pretrained import text_encoder
from seedance_jax.pretrained.runs import as_tuples, what_it_makes
from seedance_jax.sampling import sizes

MIB = 2**20


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of text with aligned columns: the first one left, the others right."""
    rows = [head, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for name, *values in rows:
        cells = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *cells]).rstrip()


def percent(part: float, whole: float) -> str:
    """A share as text: 12.3%."""
    return f"{100 * part / max(whole, 1):.1f}%"


UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def flops(number: float) -> str:
    """FLOPs as text, without the word: 565 T."""
    size, name = next((unit for unit in UNITS if number >= unit[0]), UNITS[-1])
    return f"{number / size:,.4g} {name}"


def mebibytes(size: float) -> str:
    """Bytes as a number of MiB, with a decimal if it is small: 1,234 or 5.6."""
    return f"{size / MIB:,.0f}" if size >= 10 * MIB else f"{size / MIB:.1f}"


def describe_generator(
    config: Mapping[str, Any], clip: tuple[int, int, int], devices: int, check: bool
) -> Iterator[str]:
    """Lines about the generator of a config for one clip (frames, height, width).

    Args:
      devices: number of devices of the config's mesh.
      check: also print the FLOPs of a trace.
    """
    latents = sizes.latent_shape(*clip)
    program = cost.make_program(config, latents)
    rows = cost.count(program)
    yield from _size_lines(clip, latents, program.text_tokens)
    yield ""
    yield from _cost_table(rows)
    yield from _text_lines(config)
    yield ""
    yield from _step_lines(config, latents, program)
    if check:
        yield from _check_lines(program, cost.total(rows))
    yield ""
    yield from _memory_lines(config, clip, program, devices)


def _size_lines(clip, latents, text_tokens):
    t, h, w = latents
    yield f"clip {'x'.join(map(str, clip))} -> latents {t}x{h}x{w}"
    video = f"{h * w:,} per frame, {t * h * w:,} of video in all"
    yield f"tokens: {video}, {text_tokens:,} of text"


def _cost_table(rows):
    whole = cost.total(rows)
    head = ("part", "parameters", "share", "FLOP", "share", "of it attention")
    yield from table(
        head,
        [
            (
                row.name,
                f"{row.parameters:,}",
                percent(row.parameters, whole.parameters),
                flops(row.flops),
                percent(row.flops, whole.flops),
                percent(row.attention, row.flops),
            )
            for row in (*rows, whole)
        ],
    )


TEXT_MODES = {
    "joint": "is trained with the generator",
    "frozen": "is frozen: it only runs forward",
    "precomputed": "does not run: its outputs are read from disk",
}


def _text_lines(config):
    text = text_encoder.DEFAULTS | config["text"]
    name = "" if text["mode"] == "joint" else f" {text['path']}"
    yield f"text.mode={text['mode']!r}: the text model{name} {TEXT_MODES[text['mode']]}"


def _step_lines(config, latents, program):
    remat, whole = config["model"]["remat"], cost.total(cost.count(program))
    yield f"forward: {flops(whole.flops)}FLOP per clip, padding of windows included"
    backward = "the backward pass is twice the forward pass, and recomputes attention weights"
    backward += "; remat='full' adds a forward pass" * (remat == "full")
    step = flops(cost.step_flops(program, remat))
    yield f"training step: {step}FLOP per clip: {backward}"
    for other in ("decoupled", "full"):
        rows = cost.count(cost.make_program(config, latents, attention=other))
        one = cost.total(rows)
        ratio = f"{one.flops / whole.flops:.2f} of the above"
        share = percent(one.attention, one.flops)
        yield f"attention={other!r}: {flops(one.flops)}FLOP ({ratio}), {share} in attention"


def _check_lines(program, whole):
    traced = forward_flops(program)
    ratio = f"counted / traced = {whole.flops / traced:.4f}"
    yield f"the products of the traced program have {flops(traced)}FLOP: {ratio}"


STATE = {  # labels of fields of memory.State that differ from their names
    "ema": "EMA",
    "text_model": "text model, frozen",
    "base": "base of the adapters, frozen",
    "merged": "base with adapters added",
}


def _memory_lines(config, clip, program, devices):
    mesh = sharding.plan_mesh(devices, **config["mesh"])
    axes = ", ".join(f"{name}={size}" for name, size in mesh.shape.items())
    clips = _clips(config, clip, mesh)
    yield f"training, per device; {devices} device(s): {axes}; clips on each: {clips}"
    sections = config["optimizer"], config.get("lora")
    state = memory.state_bytes(program, mesh, *sections)._asdict()
    own, kept = config["model"]["remat"], memory.activation_bytes(config, program.latents)
    kept = {name: clips * size / mesh.shape["sequence"] for name, size in kept.items()}
    logits = clips * memory.logit_bytes(program, mesh)
    whole = sum(state.values()) + kept[own]
    rows = [
        *((STATE.get(name, name), size) for name, size in state.items() if size),
        *((f"activations, remat={name!r}", kept[name]) for name in kept),
        ("attention logits, float32, of the largest block", logits),
        (f"in all, with remat={own!r}", whole + logits),
        ("in all, if a flash kernel spares the logits", whole),
    ]
    yield from table(("what", "MiB"), [(name, mebibytes(size)) for name, size in rows])


def _clips(config, clip, mesh):
    """Clips per device in the bucket of this shape; 1 if there is no such bucket."""
    for bucket in config["data"]["buckets"]:
        if tuple(bucket[:3]) == clip:
            return -(-bucket[3] // (mesh.shape["data"] * mesh.shape["fsdp"]))
    return 1


def describe_autoencoder(
    config: Mapping[str, Any], clip: tuple[int, int, int], devices: int, check: bool
) -> Iterator[str]:
    """Lines about an autoencoder: parameters, and FLOPs as XLA counts them."""
    del devices
    if check:
        raise ValueError("--check is for generators: FLOPs of autoencoders are XLA's already")
    latents, model = sizes.latent_shape(*clip), VAE(**as_tuples(config["vae"]))
    video = jax.ShapeDtypeStruct((1, *clip, 3), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), video)["params"]
    code = jax.ShapeDtypeStruct((1, *latents, model.latent_channels), jnp.float32)
    rows = []
    for name, method, inputs in (("encoder", "encode", video), ("decoder", "decode", code)):
        leaves = jax.tree.leaves(params[name])
        size, mib = sum(leaf.size for leaf in leaves), memory.tree_bytes(leaves) / MIB
        apply = functools.partial(model.apply, method=method)
        work = jax.jit(apply).lower({"params": params}, inputs).cost_analysis()["flops"]
        rows.append((name, f"{size:,}", flops(work), f"{mib:,.1f}"))
    yield f"clip {'x'.join(map(str, clip))} -> latents {'x'.join(map(str, latents))}"
    yield from table(("part", "parameters", "FLOP", "MiB"), rows)


DESCRIPTIONS = {
    "autoencoder": describe_autoencoder,
    "generator": describe_generator,
    "adapters": describe_generator,
}


def describe(
    config: Mapping[str, Any],
    clip: tuple[int, int, int] | None = None,
    devices: int = 1,
    check: bool = False,
) -> Iterator[str]:
    """Lines of text about a config; `clip` (frames, height, width) is its first bucket if None.

    Raises:
      ValueError: what it makes has no description, or a clip that cannot be encoded.
    """
    makes = what_it_makes(config)
    if makes not in DESCRIPTIONS:
        raise ValueError(f"the config makes {makes!r}; described can be {sorted(DESCRIPTIONS)}")
    clip = clip or sizes.clip_of(config["data"])
    return DESCRIPTIONS[makes](config, clip, devices, check)
