"""Makes i3d.npz: logits of a PyTorch I3D with known random weights.

    pip install -e ".[parity]" && python tests/golden/make_i3d.py

The network is written here from its description (arXiv:1705.07750), with the names and the batch
norms of the public state dicts. Weights and clips come from a recipe; the file holds logits only.
"""

import zlib
from pathlib import Path

import numpy as np

from seedance_jax.models.perception import i3d as ours

LOGITS = Path(__file__).with_name("i3d.npz")
SHAPE = (1, 10, 200, 224, 3)  # sizes that halve to odd ones, so that padding has two sides


def weight(name, shape):
    """Values of the tensor `name`, about as large as a trained network's."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return rng.uniform(0.05, 2.0, shape).astype(np.float32)  # small ones show the epsilon
    if name.endswith("bn.weight"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    limit = (6 / np.prod(shape[1:])) ** 0.5 if len(shape) == 5 else 0.3
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def weights():
    """The whole state dict."""
    return {name: weight(name, shape) for name, shape in ours.torch_shapes().items()}


def clip():
    """Pixels [1, T, H, W, 3] in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)


def torch_model(epsilon):
    """An I3D in PyTorch, with the weights of the recipe."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    def pad_same(x, kernel, stride):
        pads = []
        for size, taps, step in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
            total = max((-(-size // step) - 1) * step + taps - size, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads)

    class Unit(nn.Module):
        def __init__(self, before, after, kernel, stride=(1, 1, 1)):
            super().__init__()
            self.conv3d = nn.Conv3d(before, after, kernel, stride, bias=False)
            self.bn = nn.BatchNorm3d(after, eps=epsilon)

        def forward(self, x):
            x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
            return F.relu(self.bn(self.conv3d(x)))

    class Pool(nn.Module):
        def __init__(self, kernel, stride):
            super().__init__()
            self.kernel, self.stride = kernel, stride

        def forward(self, x):
            return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)

    class Mixed(nn.Module):
        def __init__(self, before, widths):
            super().__init__()
            self.b0 = Unit(before, widths[0], (1, 1, 1))
            self.b1a = Unit(before, widths[1], (1, 1, 1))
            self.b1b = Unit(widths[1], widths[2], (3, 3, 3))
            self.b2a = Unit(before, widths[3], (1, 1, 1))
            self.b2b = Unit(widths[3], widths[4], (3, 3, 3))
            self.b3a = Pool((3, 3, 3), (1, 1, 1))
            self.b3b = Unit(before, widths[5], (1, 1, 1))

        def forward(self, x):
            last = self.b3b(self.b3a(x))
            return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), last], 1)

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv3d = nn.Conv3d(1024, 400, 1)

        def forward(self, x):
            return self.conv3d(F.avg_pool3d(x, (2, 7, 7), 1)).mean((2, 3, 4))

    stages = nn.Sequential()
    stages.add_module("Conv3d_1a_7x7", Unit(3, 64, (7, 7, 7), (2, 2, 2)))
    stages.add_module("MaxPool3d_2a_3x3", Pool((1, 3, 3), (1, 2, 2)))
    stages.add_module("Conv3d_2b_1x1", Unit(64, 64, (1, 1, 1)))
    stages.add_module("Conv3d_2c_3x3", Unit(64, 192, (3, 3, 3)))
    stages.add_module("MaxPool3d_3a_3x3", Pool((1, 3, 3), (1, 2, 2)))
    stages.add_module("Mixed_3b", Mixed(192, (64, 96, 128, 16, 32, 32)))
    stages.add_module("Mixed_3c", Mixed(256, (128, 128, 192, 32, 96, 64)))
    stages.add_module("MaxPool3d_4a_3x3", Pool((3, 3, 3), (2, 2, 2)))
    stages.add_module("Mixed_4b", Mixed(480, (192, 96, 208, 16, 48, 64)))
    stages.add_module("Mixed_4c", Mixed(512, (160, 112, 224, 24, 64, 64)))
    stages.add_module("Mixed_4d", Mixed(512, (128, 128, 256, 24, 64, 64)))
    stages.add_module("Mixed_4e", Mixed(512, (112, 144, 288, 32, 64, 64)))
    stages.add_module("Mixed_4f", Mixed(528, (256, 160, 320, 32, 128, 128)))
    stages.add_module("MaxPool3d_5a_2x2", Pool((2, 2, 2), (2, 2, 2)))
    stages.add_module("Mixed_5b", Mixed(832, (256, 160, 320, 32, 128, 128)))
    stages.add_module("Mixed_5c", Mixed(832, (384, 192, 384, 48, 128, 128)))
    stages.add_module("logits", Logits())
    stages.eval()
    state = {name: torch.from_numpy(value) for name, value in weights().items()}
    stages.load_state_dict(state, strict=False)
    missing = set(stages.state_dict()) - set(state)
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    assert set(state) <= set(stages.state_dict())
    return stages


def main():
    import torch

    torch.set_grad_enabled(False)
    pixels = torch.from_numpy(np.moveaxis(clip(), -1, 1).copy())
    logits = {file: torch_model(eps)(pixels).numpy() for file, eps in ours.EPSILONS.items()}
    for file, values in logits.items():
        print(file, values.shape, values.std(), values[0, :3])
    np.savez_compressed(LOGITS, **logits)


if __name__ == "__main__":
    main()
