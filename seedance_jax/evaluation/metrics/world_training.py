"""Training of the feature network of the world.

The network tells the state of scenes from clips, and of those that are made noisy, blurred or
shuffled how much they are. So its features move with content and with what spoils a picture.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm
from scipy import ndimage

from seedance_jax.evaluation.metrics import features
from seedance_jax.evaluation.metrics import world_states as states
from seedance_jax.models.perception.world_features import WorldFeatures, preprocess

BATCH = 32
PEAK_LR = 3e-3
QUALITY = 4.0  # makes the amounts, mostly 0, vary as much as other numbers
MOST_NOISE, MOST_BLUR = 20.0, 2.0  # standard deviations: 8-bit levels, pixels


def train(num_clips: int, num_steps: int, seed: int = 0) -> tuple[dict, np.ndarray]:
    """Trains on the first clips of the world's split `train`: (weights, losses [num_steps]).

    weights: as `features.open_world` reads them, in the precision that they are stored in.
    """
    frames, told = states.read_clips("train", num_clips)
    model = WorldFeatures(states.HEADS)
    rng = np.random.default_rng(seed)
    init = jax.jit(functools.partial(model.init, method="tell"))
    params = init(jax.random.key(seed), preprocess(frames[:1]))["params"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, PEAK_LR, num_steps // 20, num_steps)
    optimizer = optax.adamw(schedule, weight_decay=0.01)

    @jax.jit
    def step(params, state, clips, told):
        loss, gradients = jax.value_and_grad(state_loss)(params, model, clips, told)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for _ in tqdm.trange(num_steps, desc="train features", mininterval=1.0):
        rows = rng.integers(0, num_clips, BATCH)
        batch = {name: value[rows] for name, value in told.items()}
        clips, batch = states.mirror(frames[rows], batch, rng.random(BATCH) < 0.5)
        clips, batch["quality"] = degrade(rng, clips)
        params, state, loss = step(params, state, clips, batch)
        losses.append(float(loss))
    params = jax.tree.map(lambda leaf: np.asarray(leaf.astype(jnp.bfloat16)), params)
    return features.with_scale(params, frames), np.array(losses)


def state_loss(
    params: Mapping[str, Any], model: Any, clips: np.ndarray, told: Mapping[str, jax.Array]
) -> jax.Array:
    """Cross-entropies of what has names, and squared errors of numbers, summed over both.

    Of a clip whose frames are shuffled only what lasts is asked.
    """
    said = model.apply({"params": params}, preprocess(clips), method="tell")
    in_order = 1.0 - told["quality"][:, 2:] / QUALITY  # [B, 1]
    total = 0.0
    for name, value in said.items():
        truth = told[name]
        if truth.ndim < 3:  # of the clip, not of its steps
            truth = jnp.broadcast_to(truth[:, None], (*value.shape[:2], *truth.shape[1:]))
        if name in states.KINDS:
            loss = optax.softmax_cross_entropy_with_integer_labels(value, truth)
        else:
            loss = ((value - truth) ** 2).mean(-1)
        total += (loss if name in states.LASTING else in_order * loss).mean()
    return total


def degrade(rng: np.random.Generator, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clips uint8 [B, T, H, W, 3], about a fifth each noisy, blurred, shuffled, and how much.

    Returns:
      (clips, float32 [B, 3] from 0 to QUALITY, in the order of `DEGRADE`).
    """
    clips, amounts = clips.copy(), np.zeros((len(clips), len(DEGRADE)), np.float32)
    for row, kind in enumerate(rng.integers(0, 5, len(clips))):
        if kind < len(DEGRADE):
            amount = rng.uniform()
            clips[row], amounts[row, kind] = list(DEGRADE.values())[kind](rng, clips[row], amount)
    return clips, QUALITY * amounts


def add_noise(
    rng: np.random.Generator, clip: np.ndarray, amount: float
) -> tuple[np.ndarray, float]:
    noise = rng.standard_normal(clip.shape, np.float32) * (MOST_NOISE * amount)
    return np.clip(clip + noise, 0, 255).round().astype(np.uint8), amount


def blur(rng: np.random.Generator, clip: np.ndarray, amount: float) -> tuple[np.ndarray, float]:
    del rng
    sigma = MOST_BLUR * amount
    return ndimage.gaussian_filter(clip, (0, sigma, sigma, 0), mode="nearest"), amount


def shuffle(rng: np.random.Generator, clip: np.ndarray, amount: float) -> tuple[np.ndarray, float]:
    del amount
    return clip[rng.permutation(len(clip))], 1.0


DEGRADE = {"noise": add_noise, "blur": blur, "shuffle": shuffle}
