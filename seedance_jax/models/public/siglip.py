"""The vision part of SigLIP2 (and SigLIP) from Hugging Face directories, sharded over a mesh.

Two layouts are known: the fixed form (`model_type` siglip, such as google/siglip2-base-patch16-224)
and the NaFlex form (siglip2, such as google/siglip2-base-patch16-naflex). The text part of a file
is not read.
"""

import functools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from seedance_jax.models.perception.patches import cut
from seedance_jax.models.perception.vision import VisionTower
from seedance_jax.models.public import hugging_face
from seedance_jax.models.public.matrices import as_matrices
from seedance_jax.models.public.torch_file import Tensors

# {model_type of config.json: whether it is the NaFlex form}.
LAYOUTS = {
    "siglip": False,
    "siglip_vision_model": False,
    "siglip2": True,
    "siglip2_vision_model": True,
}
# {field of the vision part of config.json: (field of VisionTower, what a file without it means)}.
FIELDS = {
    "hidden_size": ("width", 768),
    "num_hidden_layers": ("depth", 12),
    "num_attention_heads": ("heads", 12),
    "intermediate_size": ("hidden", 3072),
    "patch_size": ("patch_size", 16),
    "layer_norm_eps": ("epsilon", 1e-6),
}
# {field that changes the computation: the only supported value}.
FIXED = {"hidden_act": "gelu_pytorch_tanh", "num_channels": 3, "quantization_config": None}
PREFIX, HEAD = "vision_model.", "vision_model.head."
OTHERS = ("text_model.", "logit_scale", "logit_bias")  # what is not read
# Of `hugging_face.Source`.
NAMES = (
    (r"^embed/", "embeddings.patch_embedding/"),
    (r"^positions", "embeddings.position_embedding.weight"),
    (r"^norm_out", "post_layernorm"),
    (r"^blocks", "encoder.layers.{}"),
    (r"^head/mlp_norm", "head.layernorm"),
    (r"^head/attention/(q|k|v)[a-z]*", r"head.attention.\1_proj"),
    (r"^head/attention/out", "head.attention.out_proj"),
    (r"attention_norm", "layer_norm1"),
    (r"mlp_norm", "layer_norm2"),
    (r"/attention/(q|k|v|out)[a-z]*", r".self_attn.\1_proj"),
    (r"mlp/up", "mlp.fc1"),
    (r"mlp/down", "mlp.fc2"),
    (r"(kernel|scale)$", "weight"),
    (r"^", PREFIX),
)


def load(
    directory: str | Path, mesh: Mesh, *, dtype: Any = "bfloat16", head: bool = False
) -> tuple[VisionTower, dict[str, Any]]:
    """(VisionTower, params sharded over the mesh) of a directory.

    Args:
      directory: has config.json and model.safetensors, or its shards with their index.
      dtype: of the parameters and of the computation.
      head: whether to load the pooling, for `VisionTower.pool`.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a config or tensors of an unknown architecture; the message says what differs.
    """
    tower = VisionTower(**read_settings(directory), dtype=jnp.dtype(dtype))
    patches = cut(jnp.zeros((1, 1, *(tower.side * tower.patch_size,) * 2, 3)), tower.patch_size)
    init = functools.partial(tower.init, method="pool" if head else None)
    boxed = jax.eval_shape(init, jax.random.key(0), patches)["params"]
    source = hugging_face.Source("vision tower", open_directory(directory), NAMES, tower.dtype)
    optional = OTHERS if head else (*OTHERS, HEAD)
    return tower, hugging_face.load_params(source, boxed, mesh, optional)


def read_settings(directory: str | Path) -> dict[str, Any]:
    """The fields of VisionTower according to config.json.

    Raises:
      ValueError: another architecture; the message names the field.
    """
    path, config = hugging_face.read_config(directory)
    layout = config.get("model_type")
    if layout not in LAYOUTS:
        raise ValueError(f"{path}: model_type={layout!r}; legal ones: {sorted(LAYOUTS)}")
    vision = config.get("vision_config", config if layout.endswith("vision_model") else None)
    if not isinstance(vision, dict):
        raise ValueError(f"{path}: vision_config={vision!r}; must be an object")
    for name, value in FIXED.items():
        if (found := vision.get(name, config.get(name, value))) != value:
            raise ValueError(f"{path}: {name}={found!r}; only {value!r} is known here")
    settings = {ours: vision.get(theirs, other) for theirs, (ours, other) in FIELDS.items()}
    settings["naflex"] = LAYOUTS[layout]
    settings["image_size"] = _image_size(path, vision, settings)
    return settings


def _image_size(path, vision, settings):
    """Side of the square image of the learned positions, whose number a NaFlex file has instead."""
    for name, (ours, _) in FIELDS.items():
        if ours != "epsilon" and not _is_size(settings[ours]):
            raise ValueError(f"{path}: {name}={settings[ours]!r}; must be an integer from 1 on")
    if settings["width"] % settings["heads"]:
        raise ValueError(
            f"{path}: num_attention_heads={settings['heads']} must divide "
            f"hidden_size={settings['width']}"
        )
    name, patch = "num_patches" if settings["naflex"] else "image_size", settings["patch_size"]
    value = vision.get(name, 256 if settings["naflex"] else 224)
    side = math.isqrt(value) if settings["naflex"] and _is_size(value) else value
    if not _is_size(value) or (settings["naflex"] and side**2 != value):
        legal = "a square number" if settings["naflex"] else "an integer"
        raise ValueError(f"{path}: {name}={value!r}; must be {legal} from 1 on")
    if not settings["naflex"] and value < patch:
        raise ValueError(f"{path}: image_size={value} is less than patch_size={patch}")
    return side * patch if settings["naflex"] else side


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def open_directory(directory: str | Path) -> Tensors:
    """The tensors of a directory, with the prefix that a file of the vision part alone omits."""
    tensors = hugging_face.open_directory(directory)
    if not any(name.startswith(PREFIX) for name in tensors):
        tensors = tensors.renamed(lambda name: PREFIX + name)
    return as_matrices(tensors)
