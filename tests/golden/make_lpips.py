"""Makes lpips.json: distances by the `lpips` package. Run with the `parity` extra installed:

    python tests/golden/make_lpips.py

The trunk has random weights, since VGG16 is too large to keep here; the test makes the same ones.
The heads are those of the package, which are copied beside the distances with their licence (BSD).
"""

import importlib.metadata
import json
import shutil
from pathlib import Path

import numpy as np

from seedance_jax.models.perception import lpips as ours

HERE = Path(__file__).parent
DISTANCES = HERE / "lpips.json"
HEADS = HERE / "lpips_vgg.pth"
SIZES = ((16, 16), (64, 64), (48, 80), (37, 50))


def vgg_weights(seed=0):
    """A state dict of torchvision's VGG16 features: uniform, of He's scale."""
    random = np.random.default_rng(seed).random
    weights = {}
    for name, shape in ours.vgg_shapes().items():
        limit = (6 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.1
        weights[name] = (limit * (2 * random(shape) - 1)).astype(np.float32)
    return weights


def image_pairs(height, width):
    """Two batches [3, H, W, 3] in [-1, 1]: faint noise, strong noise, unrelated images."""
    random = np.random.default_rng(height * width).random
    x, y = (2 * random((3, height, width, 3)) - 1 for _ in range(2))
    amount = np.array([0.02, 0.3, 1.0])[:, None, None, None]
    return x.astype(np.float32), ((1 - amount) * x + amount * y).astype(np.float32)


def torch_model():
    """The LPIPS of the `lpips` package with the trunk of `vgg_weights`."""
    import lpips
    import torch

    model = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    weights = {name.removeprefix("features."): value for name, value in vgg_weights().items()}
    for part in model.net.children():
        own = {name: torch.from_numpy(weights.pop(name)) for name in part.state_dict()}
        part.load_state_dict(own)
    assert not weights
    return model


def torch_distances(model, x, y):
    """x, y [N, H, W, 3] -> distances [N], their gradients by x [N, H, W, 3]."""
    import torch

    x, y = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) for images in (x, y))
    distances = model(x.requires_grad_(), y)
    distances.sum().backward()
    return distances.detach().numpy().reshape(-1), x.grad.numpy().transpose(0, 2, 3, 1)


def main():
    import lpips

    model = torch_model()
    distances = {
        f"{height}x{width}": torch_distances(model, *image_pairs(height, width))[0].tolist()
        for height, width in SIZES
    }
    DISTANCES.write_text(json.dumps(distances, indent=1) + "\n")
    shutil.copy(Path(lpips.__file__).parent / "weights/v0.1/vgg.pth", HEADS)
    (licence,) = (f for f in importlib.metadata.files("lpips") if f.name == "LICENSE")
    HEADS.with_suffix(".LICENSE").write_text(licence.read_text())


if __name__ == "__main__":
    main()
