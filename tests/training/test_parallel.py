import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from seedance_jax import sharding
from seedance_jax.data import tokenizer
from seedance_jax.models import conditioning
from seedance_jax.pretrained import generators
from seedance_jax.stages.flow_matching import flow_loss
from seedance_jax.stages.generator_inputs import read_condition
from seedance_jax.training import loop
from seedance_jax.training.optimizer import make_optimizer

MESHES = (
    {"data": 2, "fsdp": 2, "tensor": 2, "sequence": 1},
    {"data": 1, "fsdp": 2, "tensor": 2, "sequence": 2},
)
CHANNELS, LENGTH, BATCH, NUM_STEPS = 4, 16, 4, 3
TEXT = {"width": 16, "depth": 1, "heads": 2, "max_words": 4}
DIT = {"width": 24, "depth": 2, "heads": 2, "window": (2, 2)}
OPTIMIZER = {"name": "adamw", "peak_lr": 0.01, "warmup_steps": 1, "weight_decay": 0.01}
GIVEN = np.array([[1.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3, [1.0, 0.0, 1.0]], np.float32)


def batches():
    """Random latents of clips of 3 frames of 3x4, whose captions differ in length."""
    rng = np.random.default_rng(0)
    texts = ["a cube", "", "two red balls", "b"]
    ids, mask = zip(*(tokenizer.encode(text, LENGTH) for text in texts), strict=True)
    shot = [np.arange(LENGTH) // 5] * BATCH
    for _ in range(NUM_STEPS):
        latents = rng.standard_normal((BATCH, 3, 3, 4, CHANNELS)).astype(np.float32)
        text = {"text": np.stack(ids), "text_mask": np.stack(mask), "text_shot": np.stack(shot)}
        yield {"latents": latents, **text, "frame_shot": np.array([[0, 0, 1]] * BATCH)}


@pytest.fixture(scope="module")
def stage():
    """Flow matching on latents, by a model whose gates start open."""
    model = generators.build_generator(TEXT, DIT, CHANNELS)

    def read(batch):
        condition = read_condition(batch)._replace(given=batch["latents"])
        return batch["latents"], condition._replace(given_mask=GIVEN[: len(batch["latents"])])

    def init(key):
        x0, condition = read({name: array[:1] for name, array in next(batches()).items()})
        params = model.init(key, x0, np.ones(1), condition)["params"]
        noise = lambda leaf: leaf + 0.1 * jax.random.normal(key, leaf.shape)  # noqa: E731
        return jax.tree.map(noise, params)

    def loss_fn(params, batch, key, frozen):
        x0, condition = read(batch)
        condition = conditioning.drop(key, condition, {"text": 0.5})
        return flow_loss(model, params, x0, condition, key, frame_times=0.5)

    optimizer = make_optimizer(num_steps=100, clip_norm=1.0, **OPTIMIZER)
    return loop.Stage(init, loss_fn, batches, optimizer, makes="generator")


def train(stage, mesh):
    """Losses and gradient norms of the first steps, and the layout of the state."""
    with jax.set_mesh(mesh):
        state, layout = loop.init_state(stage, jax.random.key(0), mesh)
        step = loop.make_step(stage, layout, seed=0, ema_decay=0.9)
        values = []
        for batch in stage.batches():
            state, metrics = step(state, sharding.put_batch(batch, mesh), {})
            values.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    return np.array(values), state


@pytest.fixture(scope="module")
def expected(stage, one_device):
    values, _ = train(stage, one_device)
    return values


@pytest.mark.parametrize("sizes", MESHES, ids=["fsdp_tensor", "sequence"])
def test_eight_devices_compute_what_one_computes(stage, expected, sizes):
    values, state = train(stage, sharding.make_mesh(**sizes))
    assert len(set(expected[:, 0])) == NUM_STEPS
    np.testing.assert_allclose(values[:, 0], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(values[:, 1], expected[:, 1], rtol=1e-3)
    query = state.params["video"]["pairs"]["pair0"]["spatial"]["video_qkv"]["query"]["kernel"]
    rows = ("fsdp", "sequence") if sizes["sequence"] > 1 else "fsdp"
    assert query.sharding.spec == P(None, rows, "tensor", None)
    assert query.addressable_shards[0].data.size * (8 // sizes["data"]) == query.size
    moment = state.opt_state[1][0].mu["video"]["pairs"]["pair0"]["spatial"]["video_qkv"]["query"][
        "kernel"
    ]
    assert moment.sharding == query.sharding
