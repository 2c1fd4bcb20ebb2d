"""Qwen3-VL from Hugging Face directories: tower, projectors and language model, sharded.

In its texts a frame (or two: a patch holds that many) is written as
`<0.3 seconds><|vision_start|><|video_pad|>...<|vision_end|>`, one placeholder for each visual
token, at its mean time.
"""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from seedance_jax.models.perception.vision import VisionTower
from seedance_jax.models.public import hugging_face, qwen
from seedance_jax.models.public.matrices import as_matrices
from seedance_jax.models.public.torch_file import Tensors
from seedance_jax.models.text import TextModel
from seedance_jax.models.vision_language import VisionLanguageModel

MODEL_TYPE = "qwen3_vl"
# {field of vision_config: field of VisionTower}; all are required.
FIELDS = {
    "hidden_size": "width",
    "depth": "depth",
    "num_heads": "heads",
    "intermediate_size": "hidden",
    "patch_size": "patch_size",
    "temporal_patch_size": "frames",
}
OTHERS = ("num_position_embeddings", "deepstack_visual_indexes", "spatial_merge_size")
# {field of vision_config that changes the computation: the only supported value}.
FIXED = {"hidden_act": "gelu_pytorch_tanh", "in_channels": 3}
THETA = 10_000.0  # of the tower's RoPE, where a file does not say
VISUAL = "model.visual."
MERGERS = (f"{VISUAL}merger.", f"{VISUAL}deepstack_merger_list.")
LINEAR = ((r"up/", "linear_fc1/"), (r"down/", "linear_fc2/"), (r"(kernel|scale)$", "weight"))
# Of `hugging_face.Source`.
TOWER_NAMES = (
    (r"^embed", "patch_embed.proj"),
    (r"^positions", "pos_embed.weight"),
    (r"^blocks", "blocks.{}"),
    (r"attention_norm", "norm1"),
    (r"mlp_norm", "norm2"),
    (r"attention/(q|k|v)[a-z]*", r"attn.\1_proj"),
    (r"attention/out", "attn.proj"),
    *LINEAR,
    (r"^", VISUAL),
)
PROJECTOR_NAMES = (
    (r"^projector/", MERGERS[0]),
    (r"^deep_([0-9]+)/", rf"{MERGERS[1]}\1."),
    *LINEAR,
)


def load(
    directory: str | Path, mesh: Mesh, *, dtype: Any = "bfloat16"
) -> tuple[VisionLanguageModel, dict[str, Any]]:
    """(VisionLanguageModel, params sharded over the mesh) of a directory.

    Args:
      directory: has config.json and model.safetensors, or its shards with their index.
      dtype: of the parameters and of the computation.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a config or tensors of an unknown architecture; the message says what differs.
    """
    model = make_model(directory, dtype=dtype)
    tensors = hugging_face.open_directory(directory)
    mergers = _of(tensors, lambda name: name.startswith(MERGERS))
    tower = _of(tensors, lambda name: name.startswith(VISUAL) and not name.startswith(MERGERS))
    text = _of(tensors, lambda name: not name.startswith(VISUAL))
    text = text.renamed(lambda name: name.replace("model.language_model.", "model.", 1))
    boxed, dtype = _shapes(model), model.text.dtype
    read = lambda kind, tensors, names, boxed: hugging_face.load_params(  # noqa: E731
        hugging_face.Source(kind, tensors, names, dtype), boxed, mesh
    )
    params = {
        "tower": read("vision tower", as_matrices(tower), TOWER_NAMES, boxed.pop("tower")),
        "text": qwen.load_params(model.text, text, mesh, head=True),
    }
    del boxed["text"]
    return model, params | read("projectors", mergers, PROJECTOR_NAMES, boxed)


def make_model(directory: str | Path, *, dtype: Any) -> VisionLanguageModel:
    """The model of a directory, without parameters; raises ValueError as `load` does."""
    path, config = hugging_face.read_config(directory)
    if config.get("model_type") != MODEL_TYPE:
        raise ValueError(f"{path}: model_type={config.get('model_type')!r}; only {MODEL_TYPE!r}")
    parts = ("vision_config", "text_config")
    missing = [name for name in (*parts, "video_token_id") if not config.get(name)]
    if missing or not all(isinstance(config[name], dict) for name in parts):
        raise ValueError(f"{path}: {', '.join(missing) or ' or '.join(parts)}: not there or empty")
    dtype, vision = jnp.dtype(dtype), config["vision_config"]
    tower = VisionTower(**tower_settings(path, vision), dtype=dtype)
    text = TextModel(**text_settings(path, config), dtype=dtype)
    if vision.get("out_hidden_size", text.width) != text.width:
        raise ValueError(
            f"{path}: out_hidden_size={vision['out_hidden_size']}; the language model has "
            f"hidden_size={text.width}"
        )
    return VisionLanguageModel(tower, text, vision["spatial_merge_size"], config["video_token_id"])


def tower_settings(path: Path, vision: dict[str, Any]) -> dict[str, Any]:
    """The fields of VisionTower according to the vision_config of the file `path`."""
    if missing := [name for name in (*FIELDS, *OTHERS) if name not in vision]:
        raise ValueError(f"{path}: vision_config has no field {', '.join(missing)}")
    for name, value in FIXED.items():
        if vision.get(name, value) != value:
            raise ValueError(f"{path}: {name}={vision[name]!r}; only {value!r} is known here")
    count, depth = vision["num_position_embeddings"], vision["depth"]
    side, deep = math.isqrt(count), tuple(vision["deepstack_visual_indexes"])
    if side**2 != count:
        raise ValueError(f"{path}: num_position_embeddings={count}; must be a square number")
    if list(deep) != sorted(set(deep) & set(range(depth))):
        raise ValueError(
            f"{path}: deepstack_visual_indexes={list(deep)}; must be ascending numbers from 0 to "
            f"{depth - 1}"
        )
    rope = vision.get("rope_parameters") or {}
    settings = {ours: vision[theirs] for theirs, ours in FIELDS.items()}
    form = {"naflex": True, "corners": True, "norm": False, "deep": deep}
    theta = float(rope.get("rope_theta", THETA))
    return settings | form | {"image_size": side * vision["patch_size"], "rope_theta": theta}


def text_settings(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The fields of TextModel according to the config of the file `path`: those of a Qwen3."""
    text = dict(config["text_config"])
    rope = text.pop("rope_scaling", None) or text.get("rope_parameters") or {}
    sections, theta = rope.get("mrope_section", ()), text.get("rope_theta")
    if not rope.get("mrope_interleaved", True) or len(sections) != 3:
        raise ValueError(
            f"{path}: rope={rope}; must have three mrope_section, and mrope_interleaved=true"
        )
    rope = {"rope_theta": theta, **rope, "rope_type": rope.get("rope_type", "default")}
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    text |= {"model_type": "qwen3", "tie_word_embeddings": tied, "rope_parameters": rope}
    return qwen.settings_of(path, text) | {"mrope": tuple(sections)}


def _of(tensors, chosen):
    shapes = {name: shape for name, shape in tensors.shapes.items() if chosen(name)}
    return Tensors(shapes, tensors.__getitem__)


def _shapes(model):
    """The tree of parameters by shape, with logical axes."""
    tower, ids = model.tower, jnp.zeros((1, 1), int)
    size = tower.patch_size * model.block
    patches = tower.read(jnp.zeros((1, 1, size, size, 3)), model.block)
    return dict(
        jax.eval_shape(model.init, jax.random.key(0), patches, ids, ids == 0, ids)["params"]
    )
