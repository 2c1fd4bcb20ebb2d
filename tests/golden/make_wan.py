"""Makes wan.npz: what diffusers' AutoencoderKLWan (2.2 layout) does with known random weights.

    pip install -e ".[parity]" && python tests/golden/make_wan.py

Weights and inputs come from a recipe, so that the file holds outputs only.
"""

import zlib
from pathlib import Path

import numpy as np

SETTINGS = {
    "base_dim": 8,
    "decoder_base_dim": 12,
    "z_dim": 6,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 6,
    "latents_std": [1.0] * 6,
}
LENGTHS = (1, 5, 9, 17)
HEIGHT, WIDTH = 32, 48
PIXELS = 3  # decoded pixels kept: every third row and column


def weight(name, shape):
    """Values of the tensor `name`, about as large as a trained network's."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.normal(size=shape)
    if name.endswith("gamma"):
        return (1 + 0.2 * values).astype(np.float32)
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 100.0
    return (values / np.sqrt(fan_in)).astype(np.float32)


def video(frames):
    """Pixels [1, frames, HEIGHT, WIDTH, 3] in [-1, 1]."""
    rng = np.random.default_rng(frames)
    return rng.uniform(-1, 1, (1, frames, HEIGHT, WIDTH, 3)).astype(np.float32)


def reference(settings):
    """AutoencoderKLWan with the weights of the recipe."""
    import torch
    from diffusers import AutoencoderKLWan

    torch.set_grad_enabled(False)
    model = AutoencoderKLWan(**settings).eval()
    state = {
        name: torch.from_numpy(weight(name, value.shape))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def run_reference(model, pixels):
    """Latents (mode) and reconstruction of pixels [B, T, H, W, 3], channels last."""
    import torch

    clip = torch.from_numpy(np.moveaxis(pixels, -1, 1).copy())
    latents = model.encode(clip).latent_dist.mode()
    decoded = model.decode(latents).sample
    return tuple(np.moveaxis(x.numpy(), 1, -1) for x in (latents, decoded))


def main():
    model = reference(SETTINGS)
    arrays = {"names": np.array([f"{n} {tuple(p.shape)}" for n, p in model.state_dict().items()])}
    for frames in LENGTHS:
        latents, decoded = run_reference(model, video(frames))
        arrays[f"latents{frames}"] = latents
        arrays[f"decoded{frames}"] = decoded[:, :, ::PIXELS, ::PIXELS]
        print(
            frames,
            latents.shape,
            latents.std(),
            decoded.shape,
            decoded.std(),
            np.abs(decoded).max(),
        )
    np.savez_compressed(Path(__file__).with_name("wan.npz"), **arrays)


if __name__ == "__main__":
    main()
