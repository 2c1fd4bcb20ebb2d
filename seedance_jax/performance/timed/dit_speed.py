"""FLOPs and seconds of the DiT: decoupled against full attention, and ours against diffusers'."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seedance_jax.models.conditioning import Condition
from seedance_jax.models.dit import ATTENTION, DiT
from seedance_jax.performance import cost
from seedance_jax.performance.timed import turns
from seedance_jax.sampling import sizes

CHANNELS = 48
HEAD_SIZE = 64
WINDOW = (8, 8)
FRAME = (32, 32)  # height and width of latents: 16 windows

# Section `text` of a config; the text model is not counted.
TEXT = {"depth": 1, "heads": 1, "dtype": "float32"}


def make_dit(
    width: int, layers: int, attention: str = "decoupled", window: tuple[int, int] = WINDOW
) -> DiT:
    """A DiT of `layers` blocks, half of them spatial and half temporal, which keeps what the sizes
    for CPUs do."""
    sizes = (CHANNELS, width, layers // 2, width // HEAD_SIZE, window)
    return DiT(*sizes, attention=attention, remat="save_products")


def make_condition(latents: jax.Array, text_tokens: int, width: int) -> Condition:
    """Condition of one shot for latents [1, T, H, W, C], with random text tokens."""
    text = jax.random.normal(jax.random.key(1), (1, text_tokens, width))
    shape, frames = (1, text_tokens), jnp.zeros(latents.shape[:2], int)
    given = frames.astype(jnp.float32)
    mask, shot = jnp.ones(shape, bool), jnp.zeros(shape, int)
    return Condition(text, mask, shot, frames, given=latents, given_mask=given)


def our_runners(
    model: DiT, shape: tuple[int, int, int], text_tokens: int
) -> dict[str, Callable[[], Any]]:
    """{"forward", "forward+backward": function without arguments} for latents (T, H, W)."""
    xt = jax.random.normal(jax.random.key(0), (1, *shape, CHANNELS))
    inputs = (xt, jnp.full(1, 0.5), make_condition(xt, text_tokens, model.width))
    params = nn.unbox(jax.jit(model.init)(jax.random.key(2), *inputs))

    def loss(params, *inputs):
        return (model.apply(params, *inputs) ** 2).mean()

    forward, backward = jax.jit(model.apply), jax.jit(jax.grad(loss))
    return {
        "forward": lambda: jax.block_until_ready(forward(params, *inputs)),
        "forward+backward": lambda: jax.block_until_ready(backward(params, *inputs)),
    }


def our_flops(model: DiT, shape: tuple[int, int, int], text_tokens: int) -> int:
    """FLOPs of the forward pass over latents (T, H, W), as `performance.cost` counts."""
    names = ("width", "depth", "heads", "window", "attention")
    fields = {name: getattr(model, name) for name in names}
    text = TEXT | {"width": model.width, "max_words": text_tokens}
    config = {"model": fields, "text": text, "data": {"text_length": text_tokens}}
    rows = cost.count(cost.make_program(config, shape))
    return sum(row.flops for row in rows if row.name != cost.TEXT_MODEL)


def reference(width: int, layers: int) -> Any:
    """diffusers' WanTransformer3DModel with as many parameters in its MLP (extra: parity)."""
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=width // HEAD_SIZE,
        attention_head_dim=HEAD_SIZE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=width,
        ffn_dim=4 * width,
        num_layers=layers,
    )


def reference_inputs(shape: tuple[int, int, int], text_tokens: int, width: int) -> dict[str, Any]:
    """Random arguments of `reference` for latents (T, H, W)."""
    import torch

    return {
        "hidden_states": torch.randn(1, CHANNELS, *shape),
        "timestep": torch.full((1,), 500.0),
        "encoder_hidden_states": torch.randn(1, text_tokens, width),
        "return_dict": False,
    }


def reference_flops(width: int, layers: int, shape: tuple[int, int, int], text_tokens: int) -> int:
    """FLOPs of the forward pass of `reference`, counted by torch on shapes alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        reference(width, layers)(**reference_inputs(shape, text_tokens, width))
    return counter.get_total_flops()


def reference_runners(
    width: int, layers: int, shape: tuple[int, int, int], text_tokens: int, compiled: bool
) -> dict[str, Callable[[], Any]]:
    """`our_runners` of `reference`; compiled: with torch.compile, which takes minutes."""
    import torch

    torch.manual_seed(0)
    torch.compiler.reset()  # or else the second length is compiled for all lengths
    model = reference(width, layers)
    run = torch.compile(model) if compiled else model
    inputs = reference_inputs(shape, text_tokens, width)

    def forward():
        with torch.no_grad():
            run(**inputs)

    def backward():
        model.zero_grad()
        run(**inputs)[0].square().mean().backward()

    return {"forward": forward, "forward+backward": backward}


def check(tokens: int, width: int, layers: int) -> None:
    """Raises ValueError for tokens that do not fill whole frames, or a width or depth not fit."""
    if tokens < 1 or tokens % np.prod(FRAME):
        raise ValueError(f"tokens={tokens} must be a multiple of {np.prod(FRAME)}")
    if width % HEAD_SIZE or layers % 2:
        raise ValueError(f"width={width} must be a multiple of {HEAD_SIZE}, layers={layers} even")


def gflops(tokens: int, width: int, layers: int, text_tokens: int, peer: bool) -> dict[str, float]:
    """GFLOP of the forward pass over so many tokens of video, ours and, with `peer`, diffusers'."""
    shape = (int(tokens // np.prod(FRAME)), *FRAME)
    found = {"ours": our_flops(make_dit(width, layers), shape, text_tokens)}
    if peer:
        found["diffusers"] = reference_flops(width, layers, shape, text_tokens)
    return {who: round(flops / 1e9, 1) for who, flops in found.items()}


def growth(
    config: Mapping[str, Any], seconds: float, *, width: int, repeats: int
) -> dict[str, Any]:
    """Forward FLOPs of a config and seconds of a toy at 480p, for both kinds of attention.

    The toy is one pair of blocks on frames of 8x12 latents in 16 windows, with as many latent
    frames as the clip: full attention at the true size does not fit into ordinary memory.

    Args:
      config: of a generator.
      seconds: duration of the clip, at 24 frames per second.
      width: of the toy.
    """
    latents = sizes.latent_shape(*sizes.clip_shape("480p", seconds, 24))
    toy = (latents[0], 8, 12)
    report = {"seconds of video": seconds, "tokens": int(np.prod(latents))}
    report |= compare_flops(config, latents)
    runners = {}
    for kind in ATTENTION:
        model = make_dit(width, 2, kind, window=(2, 3))
        runners[kind] = our_runners(model, toy, text_tokens=48)["forward"]
    median = turns.in_turns(runners, repeats)
    report["toy tokens"] = int(np.prod(toy))
    report |= {f"{kind} toy s": round(median[kind], 4) for kind in median}
    return report | {"time ratio": round(median["full"] / median["decoupled"], 2)}


def compare_flops(config: Mapping[str, Any], latents: tuple[int, int, int]) -> dict[str, float]:
    """FLOPs of a forward pass over latents (T, H, W) with either attention, and their ratio.

    In TFLOP, or in GFLOP if the smaller one has less than 10 TFLOP.
    """
    programs = {kind: cost.make_program(config, latents, attention=kind) for kind in ATTENTION}
    flops = {kind: cost.total(cost.count(program)).flops for kind, program in programs.items()}
    unit, size = ("TFLOP", 1e12) if min(flops.values()) >= 1e13 else ("GFLOP", 1e9)
    report = {f"{kind} {unit}": round(count / size, 2) for kind, count in flops.items()}
    return report | {"FLOP ratio": round(flops["full"] / flops["decoupled"], 2)}
