"""Makes siglip.npz: what transformers' SigLIP2 vision models do with known random weights.

    pip install -e ".[parity]" && python tests/golden/make_siglip.py

Weights and inputs come from a recipe, so that the file holds configs and outputs only.
"""

import json
import zlib
from pathlib import Path

import numpy as np

SHARED = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "patch_size": 4,
}
SETTINGS = {
    "siglip": SHARED | {"image_size": 22},  # 5 x 5 patches; two pixels of a side are not seen
    "siglip2": SHARED | {"num_patches": 25, "layer_norm_eps": 1e-5},
}
SHAPES = ((5, 5), (3, 8), (11, 2), (1, 1))  # patches of the images of the NaFlex form
MAX_PATCHES = 26


def weight(name, shape):
    """Values of the tensor `name`, about as large as a trained network's."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
    if "norm" in name and name.endswith("weight"):
        return (1 + 0.2 * values).astype(np.float32)
    if name.endswith("bias") or "position" in name:
        return (0.5 * values).astype(np.float32)
    return (values * np.prod(shape[1:]) ** -0.5).astype(np.float32)


def image(size, seed):
    """float32 [H, W, 3] in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (*size, 3)).astype(np.float32)


def images(layout):
    """The images of a layout: of one size for the fixed one."""
    patch, side = SHARED["patch_size"], SETTINGS["siglip"]["image_size"]
    if layout == "siglip":
        return [image((side, side), seed) for seed in range(2)]
    return [image((rows * patch, columns * patch), i) for i, (rows, columns) in enumerate(SHAPES)]


def padded(pictures):
    """Inputs of the NaFlex form: pixels [B, L, C], mask [B, L], shapes [B, 2]."""
    patch = SHARED["patch_size"]
    pixels = np.zeros((len(pictures), MAX_PATCHES, 3 * patch**2), np.float32)
    mask = np.zeros(pixels.shape[:2], bool)
    shapes = np.array([(len(picture) // patch, len(picture[0]) // patch) for picture in pictures])
    for i, (picture, (rows, columns)) in enumerate(zip(pictures, shapes, strict=True)):
        squares = picture.reshape(rows, patch, columns, patch, 3).swapaxes(1, 2)
        pixels[i, : rows * columns] = squares.reshape(rows * columns, -1)
        mask[i, : rows * columns] = True
    return pixels, mask, shapes


def reference(layout, settings):
    """The vision model with the weights of the recipe."""
    import torch
    import transformers

    torch.set_grad_enabled(False)
    name = layout.capitalize()
    config = getattr(transformers, f"{name}VisionConfig")(**settings)
    model = getattr(transformers, f"{name}VisionModel")(config).eval()
    model.load_state_dict(
        weights({n: a.shape for n, a in model.state_dict().items()}, torch.tensor)
    )
    return model


def weights(shapes, cast=np.asarray):
    """{name: values} of the recipe."""
    return {name: cast(weight(name, shape)) for name, shape in shapes.items()}


def run_reference(model, layout, pictures):
    """Tokens [B, L, D] after the last norm, and pooled [B, D]."""
    import torch

    if layout == "siglip":
        pixels = np.stack(pictures).transpose(0, 3, 1, 2)
        out = model(torch.from_numpy(pixels))
    else:
        pixels, mask, shapes = padded(pictures)
        out = model(
            torch.from_numpy(pixels), torch.from_numpy(mask).int(), torch.from_numpy(shapes)
        )
    return out.last_hidden_state.numpy(), out.pooler_output.numpy()


def main():
    arrays = {}
    for layout, settings in SETTINGS.items():
        model = reference(layout, settings)
        tokens, pooled = run_reference(model, layout, images(layout))
        shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
        arrays[f"{layout}_config"] = np.array(json.dumps(model.config.to_dict()))
        arrays[f"{layout}_shapes"] = np.array(json.dumps(shapes))
        arrays[f"{layout}_tokens"], arrays[f"{layout}_pooled"] = tokens, pooled
        print(layout, tokens.shape, tokens.std(), pooled.shape, pooled.std(), sorted(shapes))
    np.savez_compressed(Path(__file__).with_name("siglip.npz"), **arrays)


if __name__ == "__main__":
    main()
