"""The perceptual loss that a config of the autoencoder names."""

from collections.abc import Callable, Mapping
from typing import Any

from seedance_jax.models.perception import gradients
from seedance_jax.models.perception.lpips import LPIPS, from_torch
from seedance_jax.models.public import torch_file
from seedance_jax.training import cluster


def perceptual_distance(config: Mapping[str, Any]) -> tuple[Callable, dict[str, Any]]:
    """(distance(frozen, x, y) of frames [B, H, W, 3] -> [B], its part of `frozen`).

    Raises:
      ValueError: an unknown `name`, or LPIPS without the files of its parameters.
    """
    name = config["name"]
    if name == "gradients":
        return lambda frozen, x, y: gradients.gradient_distance(x, y), {}
    if name != "lpips":
        raise ValueError(f"perceptual.name={name!r}; legal names: ['gradients', 'lpips']")
    if not (config["vgg"] and config["heads"]):
        raise ValueError(
            "perceptual.name='lpips' needs --config.perceptual.vgg=vgg16-397923af.pth (of "
            "torchvision) and --config.perceptual.heads=lpips/weights/v0.1/vgg.pth (of lpips); "
            "without them --config.perceptual.name=gradients is the stand-in"
        )
    files = [config[part] for part in ("vgg", "heads")]
    params = cluster.of_main(lambda: from_torch(*map(torch_file.open_tensors, files)))
    return lambda frozen, x, y: LPIPS(precision="default").apply(
        {"params": frozen["lpips"]}, x, y
    ), {"lpips": params}
