"""Language models from Hugging Face directories: settings, and parameters sharded over a mesh.

Two architectures are known, Qwen2.5 (`model_type` qwen2) and Qwen3 (qwen3). Tensors are read and
sharded one at a time, so a host never has the whole model in memory.
"""

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seedance_jax import sharding
from seedance_jax.models.public.file_kinds import check_fetched
from seedance_jax.models.public.names import check_shapes, shorten
from seedance_jax.models.public.torch_file import Tensors, as_weights, open_tensors
from seedance_jax.models.text import TextModel

# {field of config.json: field of TextModel}; all are required.
FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "intermediate_size": "hidden",
    "rms_norm_eps": "epsilon",
    "tie_word_embeddings": "tied",
}
LAYOUTS = {
    "qwen2": {"qkv_bias": True, "qk_norm": False},
    "qwen3": {"qkv_bias": False, "qk_norm": True},
}
# {field of config.json that changes the computation: the only supported value}.
FIXED = {
    "hidden_act": "silu",
    "use_sliding_window": False,
    "use_mrope": False,
    "attention_bias": False,
    "rope_scaling": None,
    "quantization_config": None,
}
# (pattern, replacement) from our names, such as blocks/attention/query/kernel, to theirs, in order.
NAMES = (
    (r"^embed/embedding", "model.embed_tokens.weight"),
    (r"^norm_out", "model.norm"),
    (r"^head", "lm_head"),
    (r"^blocks", "model.layers.{}"),
    (r"attention_norm", "input_layernorm"),
    (r"mlp_norm", "post_attention_layernorm"),
    (r"attention/(q|k)[a-z]*_norm", r"self_attn.\1_norm"),
    (r"attention/(q|k|v|o)[a-z]*", r"self_attn.\1_proj"),
    (r"mlp/(gate|up|down)", r"mlp.\1_proj"),
    (r"(kernel|scale)$", "weight"),
)
HEAD = "lm_head."


def load(
    directory: str | Path,
    mesh: Mesh,
    *,
    layers: tuple[int, ...] = (-1,),
    dtype: Any = "bfloat16",
    head: bool = False,
) -> tuple[TextModel, dict[str, Any]]:
    """(TextModel, params sharded over the mesh) of a directory.

    Args:
      directory: has config.json and model.safetensors, or its shards with their index.
      layers: see TextModel.
      dtype: of the parameters and of the computation.
      head: whether to load the output layer, for generation.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a config or tensors of an unknown architecture; the message says what differs.
    """
    model = make_model(directory, layers=layers, dtype=dtype)
    return model, load_params(model, open_directory(directory), mesh, head)


def make_model(directory: str | Path, *, layers: tuple[int, ...], dtype: Any) -> TextModel:
    """The TextModel of a directory, without parameters; raises ValueError as `load` does."""
    model = TextModel(**read_settings(directory), layers=layers, dtype=jnp.dtype(dtype))
    model.check_layers()
    return model


def read_settings(directory: str | Path) -> dict[str, Any]:
    """The fields of TextModel according to config.json.

    Raises:
      ValueError: another architecture; the message names the field.
    """
    path, config = _read_config(directory)
    layout = config.get("model_type")
    if layout not in LAYOUTS:
        raise ValueError(f"{path}: model_type={layout!r}; legal ones: {sorted(LAYOUTS)}")
    theta = _rope_theta(path, config)
    required = [*FIELDS, *(["head_dim"] if layout == "qwen3" else [])]
    missing = [name for name in required if name not in config]
    if missing:
        raise ValueError(f"{path}: no field {', '.join(missing)}")
    for name, value in FIXED.items():
        if config.get(name, value) != value:
            raise ValueError(f"{path}: {name}={config[name]!r}; only {value!r} is known here")
    if set(config.get("layer_types") or ()) - {"full_attention"}:
        raise ValueError(f"{path}: layer_types has others than full_attention")
    settings = {ours: config[theirs] for theirs, ours in FIELDS.items()}
    return settings | LAYOUTS[layout] | {"rope_theta": theta, "head_size": config.get("head_dim")}


def read_limits(directory: str | Path) -> tuple[int, tuple[int, ...]]:
    """(longest input in tokens, ids of the end-of-text tokens) of a directory."""
    path, config = _read_config(directory)
    generation = Path(directory) / "generation_config.json"
    if generation.is_file():
        config |= _read_json(generation)
    missing = [n for n in ("max_position_embeddings", "eos_token_id") if config.get(n) is None]
    if missing:
        raise ValueError(f"{path}: no field {', '.join(missing)}")
    ends = config["eos_token_id"]
    return config["max_position_embeddings"], tuple(ends if isinstance(ends, list) else [ends])


def _read_config(directory):
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path, _read_json(path)


def _read_json(path):
    """The object of a JSON file; editors of Windows put a byte order mark in front."""
    check_fetched(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an object, got {type(found).__name__}")
    return found


def _rope_theta(path, config):
    """`rope_theta`, in newer files a field of `rope_parameters`."""
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta")}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"{path}: rope_parameters={rope}; only rope_type='default' is known here")
    if rope.get("rope_theta") is None:
        raise ValueError(f"{path}: no field rope_theta")
    return float(rope["rope_theta"])


def fingerprint(directory: str | Path) -> str:
    """Hash (16 hex digits) of the config and the parameter files in a directory."""
    digest = hashlib.sha256()
    shards = sorted(Path(directory).glob("[!.]*.safetensors"))  # macOS adds ._model.safetensors
    for path in [Path(directory) / "config.json", *shards]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def open_directory(directory: str | Path) -> Tensors:
    """The tensors of model.safetensors or of its shards; no values are read.

    Raises:
      FileNotFoundError: neither exists, or shards are missing.
      ValueError: the index is none.
    """
    directory = Path(directory)
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return _with_prefix(open_tensors(directory / "model.safetensors"))
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(one, str) for one in places.values()):
        raise ValueError(f"{index} has no weight_map of names to files")
    names = sorted(set(places.values()))
    if missing := [name for name in names if not (directory / name).is_file()]:
        raise FileNotFoundError(
            f"{index}: {shorten(f'of {len(names)} files are missing', missing)}"
        )
    parts = [open_tensors(directory / name) for name in names]
    where = {name: part for part in parts for name in part}
    shapes = {name: part.shapes[name] for name, part in where.items()}
    return _with_prefix(Tensors(shapes, lambda name: where[name][name]))


def _with_prefix(tensors):
    """Adds the prefix "model." to names; files of models without an output layer omit it."""
    return tensors.renamed(lambda name: re.sub(rf"^(?!model\.|{re.escape(HEAD)})", "model.", name))


def load_params(
    model: TextModel, tensors: Tensors, mesh: Mesh, head: bool = False
) -> dict[str, Any]:
    """The parameters of a TextModel from public tensors, read and sharded one at a time.

    Raises:
      ValueError: names or shapes that do not match one to one, with a report.
    """
    ids, mask = jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool)
    init = functools.partial(model.clone(layers=(-1,)).init, method="predict" if head else None)
    boxed = jax.eval_shape(init, jax.random.key(0), ids, mask)
    places = sharding.layout(boxed["params"], mesh)
    flat, tree = jax.tree_util.tree_flatten_with_path(nn.unbox(boxed["params"]))
    check_shapes(
        "language model",
        tensors,
        {name: shape for path, leaf in flat for name, shape in public_shapes(path, leaf.shape)},
        optional=() if head and not model.tied else (HEAD,),
    )
    leaves = [
        load_leaf(tensors, public_shapes(path, leaf.shape), leaf.shape, place, model.dtype)
        for (path, leaf), place in zip(flat, jax.tree.leaves(places), strict=True)
    ]
    return jax.tree_util.tree_unflatten(tree, leaves)


def public_shapes(path: tuple, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """[(public name, public shape)] of our parameter at a tree path, one for each layer."""
    path = "/".join(key.key for key in path)
    name, layers = path, range(1)
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    if path.startswith("blocks/"):
        layers, shape = range(shape[0]), shape[1:]
    if path.endswith("kernel"):  # theirs are [out, in]
        inputs = 2 if path.endswith("out/kernel") else 1
        shape = (int(np.prod(shape[inputs:])), int(np.prod(shape[:inputs])))
    elif path.endswith("bias"):
        shape = (int(np.prod(shape)),)
    return [(name.replace("/", ".").format(i), shape) for i in layers]


def load_leaf(
    tensors: Tensors,
    names: list[tuple[str, tuple[int, ...]]],
    shape: tuple[int, ...],
    place: NamedSharding,
    dtype: Any,
) -> jax.Array:
    """One of our parameters: a public tensor, or those of all layers stacked.

    Args:
      names: of `public_shapes`.
      shape, place, dtype: shape, sharding and type of the parameter.
    """

    def read(name, shape, place):
        array = as_weights(tensors[name], name, dtype)
        array = (array.T if array.ndim == 2 and "embed" not in name else array).reshape(shape)
        return jax.make_array_from_callback(shape, place, lambda index: array[index])

    if "layers" not in names[0][0]:
        return read(names[0][0], shape, place)
    slice_place = NamedSharding(place.mesh, PartitionSpec(*place.spec[1:]))
    write = jax.jit(_write, donate_argnums=0, out_shardings=place)
    stack = jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=place)()
    for i, (name, _) in enumerate(names):
        stack = write(stack, read(name, shape[1:], slice_place), i)
    return stack


def _write(stack, layer, i):
    return stack.at[i].set(layer)
