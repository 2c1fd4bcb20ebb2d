"""Training of the feature network of the world, and its weights as a file."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tqdm

from seedance_jax.evaluation.metrics import world_states as states
from seedance_jax.models.world_features import WorldFeatures, preprocess

BATCH = 32
PEAK_LR = 3e-3


def train(num_clips, num_steps, seed=0):
    """Trains on the first clips of the world's split `train`: (weights, losses [num_steps]).

    weights: {"params", "mean" [D], "std" [D]}, the last two of the features of those clips.
    """
    frames, told = states.read_clips("train", num_clips)
    model = WorldFeatures(states.HEADS)
    rng = np.random.default_rng(seed)
    params = model.init(jax.random.key(seed), preprocess(frames[:1]), method="tell")["params"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, PEAK_LR, num_steps // 20, num_steps)
    optimizer = optax.adamw(schedule, weight_decay=0.01)

    @jax.jit
    def step(params, state, frames, told):
        loss, gradients = jax.value_and_grad(state_loss)(params, model, frames, told)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for _ in tqdm.trange(num_steps, desc="train features", mininterval=1.0):
        rows = rng.integers(0, num_clips, BATCH)
        batch = states.mirror(
            frames[rows],
            {name: value[rows] for name, value in told.items()},
            rng.random(BATCH) < 0.5,
        )
        params, state, loss = step(params, state, *batch)
        losses.append(float(loss))
    features = average(model, params, frames)
    weights = {"params": params, "mean": features.mean(0), "std": features.std(0)}
    return jax.device_get(weights), np.array(losses)


def average(model, params, frames):
    """Features of clips uint8 [N, T, H, W, 3], averaged over time: float32 [N, D]."""
    run = jax.jit(lambda params, frames: model.apply({"params": params}, preprocess(frames)))
    parts = [run(params, frames[i : i + BATCH]).mean(1) for i in range(0, len(frames), BATCH)]
    return np.concatenate(parts)


def state_loss(params, model, frames, told):
    """Cross-entropies of what has names, and squared errors of numbers, summed over both."""
    said = model.apply({"params": params}, preprocess(frames), method="tell")
    loss = 0.0
    for name, value in said.items():
        if name in states.KINDS:
            labels = jnp.broadcast_to(told[name][:, None], value.shape[:2])
            loss += optax.softmax_cross_entropy_with_integer_labels(value, labels).mean()
        else:
            loss += ((value - told[name]) ** 2).mean()
    return loss
