import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_qwen as recipe
from jax.sharding import PartitionSpec as P
from safetensors.numpy import load_file, save_file

from seedance_jax import sharding
from seedance_jax.models.public import hugging_face, qwen

GOLDEN = "qwen.npz"
EVERY_LAYER = (0, 1, 2, 3)


def write_directory(directory, config, shapes, parts=1, prefix=""):
    """A Hugging Face directory of the recipe's weights, in one file or several with an index."""
    (directory / "config.json").write_text(json.dumps(config))
    names = sorted(shapes)
    where = {}
    for number in range(parts):
        file = f"model-{number}.safetensors" if parts > 1 else "model.safetensors"
        tensors = {name: recipe.weight(name, shapes[name]) for name in names[number::parts]}
        save_file(
            {name.removeprefix(prefix): array for name, array in tensors.items()}, directory / file
        )
        where |= dict.fromkeys(tensors, file)
    if parts > 1:
        index = {"weight_map": where}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


@pytest.fixture(scope="module", params=["qwen2", "qwen3"])
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def directory(golden, layout, tmp_path_factory):
    arguments = golden[f"{layout}_config"], golden[f"{layout}_shapes"]
    return write_directory(tmp_path_factory.mktemp(layout), *arguments, parts=2)


@pytest.fixture(scope="module")
def loaded(directory, one_device):
    options = {"layers": EVERY_LAYER, "dtype": "float32", "head": True}
    return qwen.load(directory, one_device, **options)


def compare(model, params, hidden, logits, ids, mask):
    """Hidden states of all layers, and logits, on the valid tokens."""

    def run(params):
        states = model.apply({"params": params}, ids, mask)
        states = jnp.split(states, model.depth + 1, axis=-1)
        return states, model.apply({"params": params}, states[-1], method="logits")

    states, own_logits = jax.jit(run)(params)
    for own, theirs in zip(states, hidden, strict=True):
        np.testing.assert_allclose(own[mask], theirs[mask], atol=1e-4)
    np.testing.assert_allclose(own_logits[mask], logits[mask], atol=1e-4)


def test_hidden_states_and_logits_are_those_of_the_reference(loaded, golden, layout):
    hidden, logits = golden[f"{layout}_hidden"], golden[f"{layout}_logits"]
    compare(*loaded, hidden, logits, *recipe.texts())


def test_the_output_layer_stays_behind_unless_it_is_wanted(loaded, directory, one_device):
    model, params = loaded
    _, encoder = qwen.load(directory, one_device, dtype="bfloat16")
    assert "head" not in encoder
    assert ("head" in params) != model.tied
    params = {name: part for name, part in params.items() if name != "head"}
    for own, other in zip(jax.tree.leaves(params), jax.tree.leaves(encoder), strict=True):
        assert other.dtype == jnp.bfloat16
        np.testing.assert_array_equal(own.astype(jnp.bfloat16), other)


def test_weights_lie_spread_over_the_mesh_with_the_same_values(loaded, directory):
    mesh = sharding.make_mesh(fsdp=4, tensor=2)
    _, params = qwen.load(directory, mesh, dtype="float32", head=True)
    gate = params["blocks"]["mlp"]["gate"]["kernel"]
    assert gate.sharding.spec == P(None, "fsdp", "tensor")
    assert gate.addressable_shards[0].data.size * 8 == gate.size
    assert params["blocks"]["attention"]["out"]["kernel"].sharding.spec == P(
        None, "tensor", None, "fsdp"
    )
    jax.tree.map(np.testing.assert_array_equal, params, loaded[1])


def test_a_file_of_the_bare_model_is_read_too(golden, tmp_path, one_device):
    shapes = {n: s for n, s in golden["qwen3_shapes"].items() if not n.startswith("lm_head")}
    write_directory(tmp_path, golden["qwen3_config"], shapes, prefix="model.")
    _, params = qwen.load(tmp_path, one_device, dtype="float32")
    assert params["norm_out"]["scale"].shape == (24,)
    with pytest.raises(ValueError, match=r"35 of 36 tensors match; 1 missing: lm_head.weight"):
        qwen.load(tmp_path, one_device, dtype="float32", head=True)


def test_tensors_that_do_not_match_are_reported(golden, tmp_path, one_device):
    shapes = dict(golden["qwen2_shapes"])
    del shapes["model.layers.1.mlp.up_proj.weight"]
    shapes["model.norm.weight"] = [7]
    shapes["model.layers.3.mlp.up_proj.weight"] = [2, 2]
    write_directory(tmp_path, golden["qwen2_config"], shapes)
    with pytest.raises(ValueError, match="36 of 38 tensors match") as error:
        qwen.load(tmp_path, one_device)
    assert "1 missing: model.layers.1.mlp.up_proj.weight" in str(error.value)
    assert "1 unexpected: model.layers.3.mlp.up_proj.weight" in str(error.value)
    assert "model.norm.weight (7,) instead of (32,)" in str(error.value)


def test_rotary_buffers_of_older_files_are_ignored(golden, tmp_path, one_device, capsys):
    extra = {"model.rotary_emb.inv_freq": [4], "model.layers.0.self_attn.rotary_emb.inv_freq": [4]}
    write_directory(tmp_path, golden["qwen3_config"], golden["qwen3_shapes"] | extra)
    _, params = qwen.load(tmp_path, one_device, dtype="float32", head=True)
    assert params["norm_out"]["scale"].shape == (24,)
    assert "2 buffers that are not needed, ignored: model." in capsys.readouterr().out


def test_weights_that_are_no_finite_numbers_are_refused(golden, tmp_path, one_device):
    write_directory(tmp_path, golden["qwen3_config"], golden["qwen3_shapes"])
    path, name = tmp_path / "model.safetensors", "model.layers.1.mlp.up_proj.weight"
    tensors = load_file(path)
    for bad in (tensors[name] * np.nan, tensors[name].astype(np.int8)):
        save_file(tensors | {name: bad}, path)
        with pytest.raises(ValueError, match=rf"{name} .*finite floating-point"):
            qwen.load(tmp_path, one_device, head=True)


def test_values_of_a_shard_that_are_not_finite_are_named_with_its_file(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "model")
    shard = min((tmp_path / "model").glob("model-*.safetensors"))
    tensors = load_file(shard)
    name = min(tensors)
    save_file(tensors | {name: tensors[name] * np.nan}, shard)
    opened = qwen.open_directory(tmp_path / "model")
    with pytest.raises(ValueError, match=rf"^{shard}: {name} .*finite floating-point"):
        opened[name]


def test_all_shards_that_are_missing_are_named(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "model")
    shards = sorted((tmp_path / "model").glob("model-*.safetensors"))
    for shard in shards:
        shard.unlink()
    said = rf"index\.json: 2 of 2 files are missing: {shards[0].name}, {shards[1].name}"
    with pytest.raises(FileNotFoundError, match=said):
        qwen.open_directory(tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer.*git lfs pull"),
        ("<html></html>", "is not JSON"),
        ("[]", "expected an object, got list"),
        (b"\xff\xfe", "is not JSON in UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_files_of_a_directory_that_are_none_are_named(directory, tmp_path, name, content, said):
    shutil.copytree(directory, tmp_path / "model")
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "model" / name).write_bytes(content)
    read = qwen.read_settings if name == "config.json" else qwen.open_directory
    with pytest.raises(ValueError, match=f"{name}:? ?{said}"):
        read(tmp_path / "model")


def test_an_index_without_its_map_is_named(directory, tmp_path):
    shutil.copytree(directory, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors.index.json").write_text('{"metadata": {}}')
    with pytest.raises(ValueError, match=r"index\.json has no weight_map"):
        qwen.open_directory(tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "llama"}, r"model_type='llama'; legal ones: \['qwen2', 'qwen3'\]"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'; only 'silu'"),
        ({"use_sliding_window": True}, "use_sliding_window=True; only False"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "rope_type='default'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "yarn"}, "rope_theta": 1}, "scaling"),
        ({"rope_parameters": None}, "no field rope_theta"),
        ({"head_dim": ...}, "no field head_dim"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_other_configs_are_refused_by_field(golden, tmp_path, changes, said):
    config = golden["qwen3_config"] | changes
    config = {name: value for name, value in config.items() if value is not ...}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        qwen.read_settings(tmp_path)


def test_the_spelling_of_older_files_is_read(golden, tmp_path):
    config = dict(golden["qwen2_config"])
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope["rope_theta"], "rope_scaling": None, "eos_token_id": [2, 5]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = qwen.read_settings(tmp_path)
    assert settings["rope_theta"] == recipe.SETTINGS["qwen2"]["rope_theta"]
    assert (settings["qkv_bias"], settings["qk_norm"]) == (True, False)
    assert qwen.read_limits(tmp_path) == (64, (2, 5))


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        qwen.read_settings(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        qwen.open_directory(tmp_path)


def test_agreement_with_the_installed_reference(layout, tmp_path, one_device):
    """Where transformers is installed: sizes that the golden file has not, and its own files."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    settings = recipe.SETTINGS[layout] | {
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "tie_word_embeddings": layout == "qwen3",
        "rope_theta": 10_000.0,
    }
    reference = recipe.reference(layout, settings)
    reference.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    options = {"layers": (0, 1, 2), "dtype": "float32", "head": True}
    model, params = qwen.load(tmp_path, one_device, **options)
    hidden, logits = recipe.run_reference(reference, *recipe.texts())
    compare(model, params, hidden, logits, *recipe.texts())


def test_files_that_an_editor_marked_are_read_and_others_named(golden, tmp_path):
    config = json.dumps(golden["qwen2_config"] | {"eos_token_id": 2})
    (tmp_path / "config.json").write_text(config)
    settings = qwen.read_settings(tmp_path)
    (tmp_path / "config.json").write_text(config, encoding="utf-8-sig")
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 7}', encoding="utf-8-sig")
    assert qwen.read_settings(tmp_path) == settings
    assert qwen.read_limits(tmp_path) == (64, (7,))
    for data in (config.encode("utf-16"), b"{", b"[]"):
        (tmp_path / "config.json").write_bytes(data)
        with pytest.raises(ValueError, match=r"config\.json"):
            qwen.read_settings(tmp_path)


def test_shadow_files_of_macos_do_not_make_another_model(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text(name)
    before = hugging_face.fingerprint(tmp_path)
    (tmp_path / "._model.safetensors").write_bytes(b"\0\5\x16\7")
    assert hugging_face.fingerprint(tmp_path) == before
