import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from seedance_jax import sharding
from seedance_jax.models.perception.vision import VisionTower
from seedance_jax.models.text import TextModel
from seedance_jax.models.vision_language import Sequence, VisionLanguageModel
from seedance_jax.training import loop

SETTINGS = {"width": 16, "depth": 2, "heads": 2, "hidden": 32, "patch_size": 4, "naflex": True}
TEXT = TextModel(40, 24, 2, 4, kv_heads=2)
PLACEHOLDER = 39
MODELS = {
    "siglip2": VisionLanguageModel(VisionTower(**SETTINGS), TEXT),
    "qwen3_vl": VisionLanguageModel(
        VisionTower(**SETTINGS, rope_theta=1e4, corners=True, norm=False, deep=(0,)),
        TEXT.clone(mrope=(1, 1, 1)),
        placeholder=PLACEHOLDER,
    ),
}
BATCH, LENGTH = 8, 9
QUALITY, ALIGNMENT = 3, 8  # the tokens after which the answers are read
MESHES = {
    "siglip2": {"data": 2, "fsdp": 2, "tensor": 2, "sequence": 1},
    "qwen3_vl": {"data": 1, "fsdp": 2, "tensor": 2, "sequence": 2},
}
VISUAL = 4  # tokens of the frames of a clip


def inputs(seed=0):
    """Clips of 2 frames of 8 x 16 pixels, texts without padding, and the places of two answers."""
    rng = np.random.default_rng(seed)
    video = rng.uniform(-1, 1, (BATCH, 2, 8, 16, 3)).astype(np.float32)
    ids = rng.integers(1, PLACEHOLDER, (BATCH, LENGTH)).astype(np.int32)
    places = np.array([[QUALITY, ALIGNMENT]] * BATCH, np.int32)
    return video, ids, np.ones(ids.shape, bool), places


def apply(model, variables, video, ids, mask, places):
    """Logits of a model of either kind, whose texts start with the visual tokens of all frames."""
    return model.apply(variables, *arrange(model, video, ids, mask, places))


def arrange(model, video, ids, mask, places):
    if model.placeholder is not None:
        front = ((0, 0), (VISUAL, 0))
        ids = jnp.pad(ids, front, constant_values=PLACEHOLDER)
        mask, places = jnp.pad(mask, front, constant_values=True), places + VISUAL
    return model.tower.read(video, model.block), ids, mask, places


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def variables(model, random_params):
    return random_params(model.init, *arrange(model, *inputs()))


@pytest.fixture(scope="module")
def logits(model, variables):
    """Function (video, ids, mask, places) -> logits."""
    run = jax.jit(lambda *arguments: apply(model, variables, *arguments))
    return lambda *arguments: np.asarray(run(*arguments))


def test_the_prompt_cannot_reach_what_is_read_before_it(logits):
    video, ids, mask, places = inputs()
    other = ids.copy()
    other[:, QUALITY + 1 :] = inputs(1)[1][:, QUALITY + 1 :]
    shorter = mask.copy()
    shorter[::2, QUALITY + 2] = False
    before = logits(video, ids, mask, places)
    for after in (logits(video, other, mask, places), logits(video, ids, shorter, places)):
        np.testing.assert_array_equal(before[:, 0], after[:, 0])
        assert (np.abs(before - after)[::2, 1].max(-1) > 1e-3).all()


@pytest.mark.parametrize("frame", [0, 1])
def test_every_frame_reaches_both_answers(logits, frame):
    video, *text = inputs()
    other = video.copy()
    other[:, frame] = inputs(1)[0][:, frame]
    difference = np.abs(logits(video, *text) - logits(other, *text)).max(-1)
    assert (difference > 1e-3).all()


def test_answers_know_the_order_of_frames(logits):
    video, *text = inputs()
    difference = np.abs(logits(video, *text) - logits(video[:, ::-1].copy(), *text))
    assert (difference.max(-1) > 1e-3).all()


def test_padding_of_text_changes_nothing(logits):
    video, ids, mask, places = inputs()
    gap = lambda array, value: np.insert(array, QUALITY + 1, value, axis=1)  # noqa: E731
    found = logits(video, gap(ids, 11), gap(mask, False), places + (places > QUALITY))
    np.testing.assert_allclose(found, logits(video, ids, mask, places), atol=1e-5)


def test_padding_patches_change_nothing(random_params):
    model, (video, *text) = MODELS["siglip2"], inputs()
    patches = model.tower.read(video, model.block)
    variables = random_params(model.init, patches, *text)
    extra = [[(0, 0)] * 2 + [(0, 4)] + [(0, 0)] * (array.ndim - 3) for array in patches]
    padded = patches._replace(
        pixels=np.pad(patches.pixels, extra[0], constant_values=7),
        places=np.pad(patches.places, extra[1]),
        mask=np.pad(patches.mask, extra[3]),
    )
    run = jax.jit(model.apply)
    found, expected = (run(variables, each, *text) for each in (padded, patches))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_pixel_gets_a_gradient_from_an_answer(model, variables):
    video, *text = inputs()
    slopes = jax.jit(jax.grad(lambda video: apply(model, variables, video, *text)[..., 0].sum()))
    assert (slopes(video) != 0).all()


def test_rows_and_columns_count_from_the_position_of_their_frame():
    model, (video, ids, mask, _) = MODELS["qwen3_vl"], inputs()
    patches, ids, mask, _ = arrange(model, video, ids, mask, 0)
    ids = np.concatenate([ids[:, 4:6], ids[:, :2], ids[:, 6:8], ids[:, 2:4], ids[:, 8:]], 1)
    sequence = Sequence(ids, ids == PLACEHOLDER, mask.at[:, 1].set(False))
    positions = model._positions(sequence, patches)[0].T.tolist()
    assert positions[0][2:] == [1, 1, 3, 4, 5, 5, 7, 8, 9, 10, 11]
    assert positions[1][2:] == [1, 1, 3, 4, 5, 5, 7, 8, 9, 10, 11]
    assert positions[2][2:] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]


@pytest.fixture(scope="module")
def stage(model):
    """Learns to answer with token 0 or 1, the latter to the second half of the clips."""

    def init(key):
        return model.init(key, *arrange(model, *(array[:1] for array in inputs())))["params"]

    def loss_fn(params, batch, key, frozen):
        arguments = (batch[name] for name in ("video", "ids", "mask", "places"))
        found = apply(model, {"params": params}, *arguments)
        wanted = jnp.broadcast_to(batch["answer"][:, None], found.shape[:2])
        losses = optax.softmax_cross_entropy_with_integer_labels(found, wanted)
        return losses.mean(), {}

    def batches():
        names, answer = ("video", "ids", "mask", "places"), np.arange(BATCH) // 4
        for seed in range(3):
            yield dict(zip(names, inputs(seed), strict=True)) | {"answer": answer}

    return loop.Stage(init, loss_fn, batches, optax.adam(1e-2), makes="reward")


def train(stage, mesh):
    """Losses and gradient norms of three steps, and the state after them."""
    values = []
    with jax.set_mesh(mesh):
        state, layout = loop.init_state(stage, jax.random.key(0), mesh)
        step = loop.make_step(stage, layout, seed=0, ema_decay=0.9)
        for batch in stage.batches():
            state, metrics = step(state, sharding.put_batch(batch, mesh), {})
            values.append((float(metrics["loss"]), float(metrics["grad_norm"])))
    return np.array(values), state


def test_eight_devices_compute_what_one_computes(stage, model, one_device):
    sizes = MESHES["siglip2" if model.placeholder is None else "qwen3_vl"]
    expected, _ = train(stage, one_device)
    values, state = train(stage, sharding.make_mesh(**sizes))
    assert len(set(expected[:, 0])) == len(expected)
    np.testing.assert_allclose(values[:, 0], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(values[:, 1], expected[:, 1], rtol=1e-3)
    rows = ("fsdp", "sequence") if sizes["sequence"] > 1 else "fsdp"
    params = state.params
    for query in (part["blocks"]["attention"]["query"]["kernel"] for part in
                  (params["tower"], params["text"])):  # fmt: skip
        assert query.sharding.spec == P(None, rows, "tensor", None)
        assert query.addressable_shards[0].data.size * (8 // sizes["data"]) == query.size
    assert params["projector"]["up"]["kernel"].sharding.spec == P(rows, "tensor")


def test_parameters_are_named_by_part_and_stacked_over_depth(model, variables):
    params = variables["params"]
    assert params.keys() - {"deep_0"} == {"tower", "projector", "text"}
    assert ("deep_0" in params) == bool(model.tower.deep)
    assert params["tower"]["blocks"]["attention"]["out"]["kernel"].shape == (2, 2, 8, 16)
    assert params["projector"]["up"]["kernel"].shape == (64, 64)
    assert params["projector"]["down"]["kernel"].shape == (64, 24)
