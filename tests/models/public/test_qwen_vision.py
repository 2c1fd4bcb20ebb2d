import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_qwen_vision as recipe
from jax.sharding import PartitionSpec as P
from safetensors.numpy import save_file

from seedance_jax import sharding
from seedance_jax.models.public import qwen_vision

GOLDEN = "qwen_vision.npz"


def write_directory(directory, config, shapes):
    (directory / "config.json").write_text(json.dumps(config))
    tensors = {name: recipe.weight(name, shape) for name, shape in shapes.items()}
    save_file(tensors, directory / "model.safetensors")
    return directory


@pytest.fixture(scope="module")
def directory(golden, tmp_path_factory):
    return write_directory(tmp_path_factory.mktemp("qwen3_vl"), golden["config"], golden["shapes"])


@pytest.fixture(scope="module")
def loaded(directory, one_device):
    return qwen_vision.load(directory, one_device, dtype="float32")


def run(model, params, video):
    """Hidden states [B, S, D] and logits [B, S, V] of the recipe's texts."""
    ids, mask = recipe.texts()
    patches = model.tower.read(video, model.block)
    hidden = model.apply({"params": params}, patches, ids, mask, method="hidden_states")
    places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    return hidden, model.apply({"params": params}, patches, ids, mask, places)


def compare(model, params, hidden, logits):
    _, mask = recipe.texts()
    own, own_logits = jax.jit(lambda params, video: run(model, params, video))(
        params, recipe.videos()
    )
    np.testing.assert_allclose(own[mask], hidden[mask], atol=1e-4)
    np.testing.assert_allclose(own_logits[mask], logits[mask], atol=1e-4)


def test_hidden_states_and_logits_are_those_of_the_reference(loaded, golden):
    compare(*loaded, golden["hidden"], golden["logits"])


def test_an_odd_number_of_frames_ends_with_the_last_one_twice(loaded):
    model, _ = loaded
    video = recipe.videos()
    patches = model.tower.read(video[:, :3], model.block)
    doubled = model.tower.read(video[:, [0, 1, 2, 2]], model.block)
    np.testing.assert_array_equal(patches.pixels, doubled.pixels)
    assert patches.mask.shape == (recipe.BATCH, 2, 4 * recipe.TOKENS)


def test_weights_lie_spread_over_the_mesh_with_the_same_values(loaded, directory):
    _, params = qwen_vision.load(directory, sharding.make_mesh(fsdp=8), dtype="float32")
    assert params.keys() == {"tower", "text", "projector", "deep_0", "deep_1"}
    up = params["deep_1"]["up"]["kernel"]
    assert up.sharding.spec == P("fsdp", None)
    assert params["tower"]["blocks"]["mlp"]["up"]["kernel"].sharding.spec == P(None, "fsdp", None)
    jax.tree.map(np.testing.assert_array_equal, params, loaded[1])


def test_the_spelling_of_older_files_is_read(golden, directory, tmp_path):
    config = json.loads(json.dumps(golden["config"]))
    rope = config["text_config"].pop("rope_parameters")
    theta = rope.pop("rope_theta")
    config["text_config"] |= {"rope_theta": theta, "rope_scaling": rope}
    config["vision_config"] |= {"rope_parameters": None, "model_type": "qwen3_vl"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    old, new = (qwen_vision.make_model(d, dtype="float32") for d in (tmp_path, directory))
    assert old == new


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        ("model.visual.merger.norm.bias", "projectors: .*1 missing"),
        ("model.visual.blocks.1.attn.qkv.bias", "vision tower: .*3 missing"),
        ("model.language_model.norm.weight", "language model: .*1 missing"),
    ],
)
def test_tensors_that_do_not_match_are_reported(golden, tmp_path, one_device, removed, said):
    shapes = {name: shape for name, shape in golden["shapes"].items() if name != removed}
    write_directory(tmp_path, golden["config"], shapes)
    with pytest.raises(ValueError, match=said):
        qwen_vision.load(tmp_path, one_device)


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        (None, {"model_type": "qwen2_5_vl"}, "model_type='qwen2_5_vl'; only 'qwen3_vl'"),
        (None, {"text_config": None}, "text_config: not there"),
        (None, {"video_token_id": None}, "video_token_id: not there"),
        ("vision_config", {"hidden_act": "silu"}, "hidden_act='silu'; only"),
        ("vision_config", {"depth": ...}, "vision_config has no field depth"),
        ("vision_config", {"num_position_embeddings": 26}, "=26; must be a square number"),
        ("vision_config", {"deepstack_visual_indexes": [2, 3]}, "numbers from 0 to 2"),
        ("vision_config", {"deepstack_visual_indexes": [2, 0]}, "must be ascending"),
        ("vision_config", {"out_hidden_size": 20}, "out_hidden_size=20; .* hidden_size=24"),
        ("text_config", {"rope_parameters": {"rope_theta": 1.0}}, "must have three mrope_section"),
        ("text_config", {"hidden_act": "gelu"}, "hidden_act='gelu'; only 'silu'"),
    ],
)
def test_other_configs_are_refused_by_field(golden, tmp_path, part, changes, said):
    config = json.loads(json.dumps(golden["config"]))
    changed = config[part] if part else config
    changed |= changes
    for name in [name for name, value in changes.items() if value is ...]:
        del changed[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        qwen_vision.make_model(tmp_path, dtype="float32")


def test_agreement_with_the_installed_reference(tmp_path, one_device):
    """Where transformers is installed: other sizes, and files as it saves them."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    text = {"tie_word_embeddings": False, "num_hidden_layers": 4, "num_key_value_heads": 1}
    reference = recipe.reference(text)
    reference.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    loaded = qwen_vision.load(tmp_path, one_device, dtype="float32")
    compare(*loaded, *recipe.run_reference(reference))
