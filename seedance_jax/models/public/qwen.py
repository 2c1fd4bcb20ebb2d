"""Language models from Hugging Face directories: settings, and parameters sharded over a mesh.

Two architectures are known, Qwen2.5 (`model_type` qwen2) and Qwen3 (qwen3).
"""

import functools
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from seedance_jax.models.public import hugging_face
from seedance_jax.models.public.torch_file import Tensors
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
    return settings_of(*hugging_face.read_config(directory))


def settings_of(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The fields of TextModel according to a config of the file `path`; raises the same."""
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
    path, config = hugging_face.read_config(directory)
    generation = Path(directory) / "generation_config.json"
    if generation.is_file():
        config |= hugging_face.read_json(generation)
    missing = [n for n in ("max_position_embeddings", "eos_token_id") if config.get(n) is None]
    if missing:
        raise ValueError(f"{path}: no field {', '.join(missing)}")
    ends = config["eos_token_id"]
    return config["max_position_embeddings"], tuple(ends if isinstance(ends, list) else [ends])


def _rope_theta(path, config):
    """`rope_theta`, in newer files a field of `rope_parameters`."""
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta")}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"{path}: rope_parameters={rope}; only rope_type='default' is known here")
    if rope.get("rope_theta") is None:
        raise ValueError(f"{path}: no field rope_theta")
    return float(rope["rope_theta"])


def open_directory(directory: str | Path) -> Tensors:
    """The tensors of a directory, with the prefix "model." where a bare model's names lack it."""
    tensors = hugging_face.open_directory(directory)
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
    boxed = jax.eval_shape(init, jax.random.key(0), ids, mask)["params"]
    source = hugging_face.Source("language model", tensors, NAMES, model.dtype)
    return hugging_face.load_params(
        source, boxed, mesh, optional=() if head and not model.tied else (HEAD,)
    )
