"""Converts the autoencoder's parameters from and to the names of the open Wan 2.2 autoencoder.

Two namings are public: that of diffusers' `AutoencoderKLWan` and that of the original files. Their
kernels are [out, in, time, height, width], ours [time, height, width, in, out].
"""

import re
from typing import Any

import jax
import numpy as np

from seedance_jax.models.public.names import check_shapes
from seedance_jax.models.public.torch_file import Tensors, as_weights

# (pattern, replacement) from our names, such as encoder/stage0/block1/conv2/kernel, to diffusers'.
NAMES = (
    (r"^encoder/to_latents", "quant_conv"),
    (r"^decoder/from_latents", "post_quant_conv"),
    (r"^encoder/stage(\d+)", r"encoder/down_blocks/\1"),
    (r"^decoder/stage(\d+)", r"decoder/up_blocks/\1"),
    (r"middle/block(\d+)", r"mid_block/resnets/\1"),
    (r"middle/attention", "mid_block/attentions/0"),
    (r"block(\d+)", r"resnets/\1"),
    (r"shortcut", "conv_shortcut"),
    (r"down/space", "downsampler/resample/1"),
    (r"up/space", "upsampler/resample/1"),
    (r"down/time", "downsampler/time_conv"),
    (r"up/time", "upsampler/time_conv"),
    (r"attentions/0/qkv", "attentions/0/to_qkv"),
    (r"attentions/0/out", "attentions/0/proj"),
    (r"kernel$", "weight"),
)
# (pattern, replacement) from the names of the original files to diffusers'.
ORIGINAL = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"(down|up)samples\.(\d+)\.\1samples\.\d+\.(resample|time)", r"\1_blocks.\2.\1sampler.\3"),
    (r"(down|up)samples\.(\d+)\.\1samples\.(\d+)", r"\1_blocks.\2.resnets.\3"),
)
# Per-channel statistics of the Wan 2.2 latents, from its published configuration.
MEAN = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813,
    0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108,
    -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313,
    -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944,
    0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
STD = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip


def wan_name(path: tuple) -> str:
    """Name in diffusers of our parameter at a tree path, such as encoder/conv_in/kernel."""
    path = "/".join(key.key for key in path)
    for pattern, replacement in NAMES:
        path = re.sub(pattern, replacement, path)
    return path.replace("/", ".")


def diffusers_name(name: str) -> str:
    """Name in diffusers of a parameter under either public name."""
    for pattern, replacement in ORIGINAL:
        name = re.sub(pattern, replacement, name)
    return name


def public_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in the public files of our parameter of `shape`, by its name in diffusers."""
    flat = ".attentions." in name  # these act on frames, the others on clips
    if name.endswith("gamma"):
        return (*shape, 1, 1) if flat else (*shape, 1, 1, 1)
    if name.endswith("bias"):
        return shape
    *kernel, inputs, outputs = shape
    return (outputs, inputs, *(kernel[1:] if flat else kernel))


def import_params(tensors: Tensors, like: Any) -> Any:
    """Our parameter tree from public tensors, read one at a time.

    Args:
      tensors: of `torch_file.open_tensors`, under either naming.
      like: tree of shapes, such as `jax.eval_shape(model.init, ...)["params"]`.

    Raises:
      ValueError: names or shapes that do not match one to one, with a report.
    """
    flat, tree = jax.tree_util.tree_flatten_with_path(like)
    wanted = {wan_name(path): leaf.shape for path, leaf in flat}
    tensors = tensors.renamed(diffusers_name)
    expected = {name: public_shape(name, shape) for name, shape in wanted.items()}
    check_shapes("Wan 2.2 autoencoder", tensors, expected)
    leaves = [to_ours(tensors[name], name, shape) for name, shape in wanted.items()]
    return jax.tree_util.tree_unflatten(tree, leaves)


def export_params(params: Any) -> dict[str, np.ndarray]:
    """{name in diffusers: array in its layout} of our parameter tree."""
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    return {wan_name(path): to_public(np.asarray(leaf), wan_name(path)) for path, leaf in flat}


def to_ours(array: np.ndarray, name: str, shape: tuple[int, ...]) -> jax.Array:
    """An array of `Tensors` in our layout, float32; ValueError as of `as_weights`."""
    array = as_weights(array, name, np.float32)
    if name.endswith("weight"):
        array = np.moveaxis(array, (0, 1), (-1, -2))
    return jax.numpy.asarray(array).reshape(shape)


def to_public(array: np.ndarray, name: str) -> np.ndarray:
    """Inverse of `to_ours`."""
    shape = public_shape(name, array.shape)
    if name.endswith("weight"):
        array = np.moveaxis(array, (-1, -2), (0, 1))
    return np.ascontiguousarray(array.reshape(shape))
