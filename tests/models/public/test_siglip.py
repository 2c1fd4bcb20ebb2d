import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_siglip as recipe
from jax.sharding import PartitionSpec as P
from safetensors.numpy import save_file

from seedance_jax import sharding
from seedance_jax.models.perception import patches as squares
from seedance_jax.models.public import siglip

GOLDEN = "siglip.npz"
PARTS = {"siglip": "siglip_vision_model", "siglip2": "siglip2_vision_model"}


@pytest.fixture(scope="module", params=["siglip", "siglip2"])
def layout(request):
    return request.param


def write_directory(directory, config, shapes, **others):
    """A whole public model: its vision part has the recipe's weights, besides it there are others.

    Fields of the vision part that are those of the public base model may be missing, as there.
    """
    whole = {"model_type": config["model_type"].partition("_")[0], "text_config": {}}
    (directory / "config.json").write_text(json.dumps(whole | {"vision_config": config}))
    tensors = {f"vision_model.{name}": a for name, a in recipe.weights(shapes).items()}
    save_file(tensors | others, directory / "model.safetensors")
    return directory


@pytest.fixture(scope="module")
def directory(golden, layout, tmp_path_factory):
    text = {"text_model.embeddings.token_embedding.weight": np.ones((4, 2), np.float32)}
    arguments = golden[f"{layout}_config"], golden[f"{layout}_shapes"]
    directory = tmp_path_factory.mktemp(layout)
    return write_directory(directory, *arguments, **text, logit_scale=np.ones(1, np.float32))


@pytest.fixture(scope="module")
def loaded(directory, one_device):
    return siglip.load(directory, one_device, dtype="float32", head=True)


def read(tower, layout):
    """Patches of the recipe's images, each one frame."""
    if layout == "siglip":
        return tower.read(jnp.stack(recipe.images(layout))[:, None])
    pixels, mask, shapes = recipe.padded(recipe.images(layout))
    order = np.arange(mask.shape[1])
    places = np.stack([order // shapes[:, 1:], order % shapes[:, 1:]], -1)
    return squares.Patches(*(a[:, None] for a in (pixels, places, shapes, mask)))


def compare(tower, params, layout, tokens, pooled):
    patches = read(tower, layout)
    run = jax.jit(tower.apply, static_argnames="method")
    own = run({"params": params}, patches)[:, 0]
    np.testing.assert_allclose(own[patches.mask[:, 0]], tokens[patches.mask[:, 0]], atol=1e-4)
    own = run({"params": params}, patches, method="pool")[:, 0]
    np.testing.assert_allclose(own, pooled, atol=1e-4)


def test_tokens_and_pooled_vectors_are_those_of_the_reference(loaded, golden, layout):
    compare(*loaded, layout, golden[f"{layout}_tokens"], golden[f"{layout}_pooled"])


def test_the_pooling_stays_behind_unless_it_is_wanted(loaded, directory, one_device):
    _, params = siglip.load(directory, one_device, dtype="bfloat16")
    with_head = dict(loaded[1])
    assert with_head.pop("head").keys() == {"probe", "attention", "mlp_norm", "mlp"}
    for own, other in zip(jax.tree.leaves(with_head), jax.tree.leaves(params), strict=True):
        assert other.dtype == jnp.bfloat16
        np.testing.assert_array_equal(own.astype(jnp.bfloat16), other)


def test_weights_lie_spread_over_the_mesh_with_the_same_values(loaded, directory):
    mesh = sharding.make_mesh(fsdp=8)
    _, params = siglip.load(directory, mesh, dtype="float32", head=True)
    up = params["blocks"]["mlp"]["up"]["kernel"]
    assert up.sharding.spec == P(None, "fsdp", None)
    assert up.addressable_shards[0].data.size * 8 == up.size
    assert params["embed"]["kernel"].sharding.spec == P(None, "fsdp")
    jax.tree.map(np.testing.assert_array_equal, params, loaded[1])


def test_a_file_of_the_vision_part_alone_is_read_too(golden, layout, loaded, tmp_path, one_device):
    config, shapes = golden[f"{layout}_config"], golden[f"{layout}_shapes"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert config["model_type"] == PARTS[layout]
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith("head.")}
    save_file(recipe.weights(shapes), tmp_path / "model.safetensors")
    tower, params = siglip.load(tmp_path, one_device, dtype="float32")
    assert tower == loaded[0]
    np.testing.assert_array_equal(params["positions"], loaded[1]["positions"])
    with pytest.raises(ValueError, match=r"\d+ missing: vision_model\.head\."):
        siglip.load(tmp_path, one_device, head=True)


def test_fields_that_a_file_omits_are_those_of_the_base_model(tmp_path):
    for model_type, image_size in (("siglip", 224), ("siglip2", 256)):
        config = {"model_type": model_type, "vision_config": {"num_hidden_layers": 3}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        settings = siglip.read_settings(tmp_path)
        assert (settings["image_size"], settings["patch_size"]) == (image_size, 16)
        assert (settings["width"], settings["hidden"], settings["depth"]) == (768, 3072, 3)
        assert settings["naflex"] == (model_type == "siglip2")


def test_tensors_that_do_not_match_are_reported(golden, tmp_path, one_device):
    shapes = dict(golden["siglip_shapes"])
    del shapes["encoder.layers.1.mlp.fc1.bias"]
    shapes["post_layernorm.weight"] = [7]
    shapes["pre_layernorm.weight"] = [24]
    write_directory(tmp_path, golden["siglip_config"], shapes)
    with pytest.raises(ValueError, match="tensors match") as error:
        siglip.load(tmp_path, one_device, head=True)
    assert "1 missing: vision_model.encoder.layers.1.mlp.fc1.bias" in str(error.value)
    assert "1 unexpected: vision_model.pre_layernorm.weight" in str(error.value)
    assert "vision_model.post_layernorm.weight (7,) instead of (24,)" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "clip"}, r"model_type='clip'; legal ones: \['siglip', 'siglip2'"),
        ({"vision_config": None}, "vision_config=None; must be an object"),
        ({"hidden_act": "relu"}, "hidden_act='relu'; only 'gelu_pytorch_tanh'"),
        ({"num_channels": 1}, "num_channels=1; only 3"),
        ({"num_attention_heads": 5}, "num_attention_heads=5 must divide hidden_size=24"),
        ({"patch_size": [4, 4]}, r"patch_size=\[4, 4\]; must be an integer from 1 on"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0; must be an integer from 1 on"),
        ({"num_patches": 24}, "num_patches=24; must be a square number"),
        ({"num_patches": "25"}, "num_patches='25'; must be a square number"),
    ],
)
def test_other_configs_are_refused_by_field(golden, tmp_path, changes, said):
    whole = {"model_type": "siglip2", "vision_config": golden["siglip2_config"] | changes}
    whole |= {name: changes[name] for name in whole if name in changes}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=said):
        siglip.read_settings(tmp_path)


@pytest.mark.parametrize(
    ("image_size", "said"), [(3, "less than patch_size=4"), (0.5, "must be an integer")]
)
def test_an_image_size_that_has_no_patches_is_refused(golden, tmp_path, image_size, said):
    config = golden["siglip_config"] | {"image_size": image_size}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"image_size={image_size}.*{said}"):
        siglip.read_settings(tmp_path)


def test_agreement_with_the_installed_reference(layout, tmp_path, one_device):
    """Where transformers is installed: a whole model as it saves it, of another size."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    settings = recipe.SETTINGS[layout] | {"num_hidden_layers": 3, "num_attention_heads": 2}
    vision_part = recipe.reference(layout, settings)
    name = layout.capitalize()
    text = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text |= {"projection_size": settings["hidden_size"]}
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=settings)
    whole = getattr(transformers, f"{name}Model")(config)
    whole.vision_model.load_state_dict(vision_part.state_dict())
    whole.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    loaded = siglip.load(tmp_path, one_device, dtype="float32", head=True)
    tokens, pooled = recipe.run_reference(vision_part, layout, recipe.images(layout))
    compare(*loaded, layout, tokens, pooled)
