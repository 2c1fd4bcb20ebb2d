"""Projections of vision transformers that public files have in another form than ours."""

import math
import re

import numpy as np

from seedance_jax.models.public.torch_file import Tensors

JOINED = re.compile(r"in_proj_|qkv\.")  # in names: queries, keys and values, one below the other


def as_matrices(tensors: Tensors) -> Tensors:
    """The same with patch embeddings as matrices, and queries, keys and values apart.

    A patch embedding that is a convolution [D, C, P, P] or [D, C, frames, P, P] is a matrix of
    [D, pixels] in the order of `Patches.pixels`; ".in_proj_weight" or ".qkv.weight" are
    ".q_proj.weight", ".k_proj.weight" and ".v_proj.weight", and so are the biases.
    """
    parts = {}
    for name, shape in tensors.shapes.items():
        parts |= _parts(name, shape)
    shapes = {new: shape for new, (_, shape, _) in parts.items()}

    def read(new):
        name, shape, change = parts[new]
        return change(tensors[name]).reshape(shape)

    return Tensors(shapes, read)


def _parts(name, shape):
    """{name: (public name, shape, function of the public array)} of a public tensor."""
    if len(shape) in (4, 5) and "patch_embed" in name:
        axes = {4: (0, 2, 3, 1), 5: (0, 3, 4, 2, 1)}[len(shape)]
        flat = (shape[0], math.prod(shape[1:]))
        return {name: (name, flat, lambda array: array.transpose(axes))}
    if JOINED.search(name) and shape[0] % 3 == 0:
        third = lambda i: lambda array: np.split(array, 3)[i]  # noqa: E731
        return {
            JOINED.sub(f"{part}_proj.", name): (name, (shape[0] // 3, *shape[1:]), third(i))
            for i, part in enumerate("qkv")
        }
    return {name: (name, shape, lambda array: array)}
