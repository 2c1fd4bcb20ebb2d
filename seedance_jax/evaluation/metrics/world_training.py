"""Training of the world's feature network.

The network predicts the state of the scene of a clip, and how noisy, blurred or shuffled the clip
is. So its features depend on content and on image quality.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from seedance_jax.data.world import pixels, states
from seedance_jax.evaluation.metrics import features
from seedance_jax.models.perception.world_features import WorldFeatures, preprocess

BATCH = 32
PEAK_LR = 3e-3
QUALITY = 4.0  # scale of the amounts, which are mostly 0, to the variance of other targets


def train(num_clips: int, num_steps: int, seed: int = 0) -> tuple[dict[str, Any], np.ndarray]:
    """Trains on the first clips of the world's split `train`: (params, losses [num_steps]).

    params: bfloat16, for `features.save_world`.
    """
    frames, targets = states.read_clips("train", num_clips)
    model = WorldFeatures(states.HEADS)
    rng = np.random.default_rng(seed)
    init = jax.jit(functools.partial(model.init, method="predict"))
    params = init(jax.random.key(seed), preprocess(frames[:1]))["params"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, PEAK_LR, num_steps // 20, num_steps)
    optimizer = optax.adamw(schedule, weight_decay=0.01)

    @jax.jit
    def step(params, state, clips, targets):
        loss, gradients = jax.value_and_grad(state_loss)(params, model, clips, targets)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for _ in tqdm.trange(num_steps, desc="train features", mininterval=1.0):
        rows = rng.integers(0, num_clips, BATCH)
        batch = {name: value[rows] for name, value in targets.items()}
        clips, batch = states.mirror(frames[rows], batch, rng.random(BATCH) < 0.5)
        clips, amounts = pixels.degrade(rng, clips)
        batch["quality"] = QUALITY * amounts
        params, state, loss = step(params, state, clips, batch)
        losses.append(float(loss))
    params = jax.tree.map(lambda leaf: np.asarray(leaf.astype(jnp.bfloat16)), params)
    return features.with_scale(params, frames), np.array(losses)


def state_loss(
    params: Any, model: WorldFeatures, clips: np.ndarray, targets: Mapping[str, jax.Array]
) -> jax.Array:
    """Sum of cross-entropies of classes and squared errors of numbers.

    For shuffled clips only the targets in `LASTING` count.
    """
    predictions = model.apply({"params": params}, preprocess(clips), method="predict")
    in_order = 1.0 - targets["quality"][:, 2:] / QUALITY  # [B, 1]
    total = 0.0
    for name, value in predictions.items():
        target = targets[name]
        if target.ndim < 3:  # one for the clip, not for every step
            target = jnp.broadcast_to(target[:, None], (*value.shape[:2], *target.shape[1:]))
        if name in states.KINDS:
            loss = optax.softmax_cross_entropy_with_integer_labels(value, target)
        else:
            loss = ((value - target) ** 2).mean(-1)
        total += (loss if name in states.LASTING else in_order * loss).mean()
    return total
