"""Makes the small .pth files of test_torch_file.py. Run with torch (the `parity` extra) installed:

python tests/golden/make_torch_files.py
"""

from pathlib import Path

HERE = Path(__file__).parent
DTYPES = "bfloat16 bool float16 float32 float64 int16 int32 int64 int8 uint8".split()


def make_state():
    """Each dtype, and each way a tensor can lie in its storage."""
    import torch

    state = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in DTYPES}
    grid = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    images = torch.arange(48, dtype=torch.float32).reshape(2, 2, 3, 4)
    return state | {
        "layout.whole": grid,
        "layout.transposed": grid.permute(2, 0, 1),
        "layout.column": grid[:, :, 1],
        "layout.late": grid[1],
        "layout.stepped": grid[:, ::2],
        "layout.channels_last": images.contiguous(memory_format=torch.channels_last),
        "layout.expanded": torch.tensor([7.0]).expand(2, 3),
        "layout.scalar": torch.tensor(5.0),
        "layout.empty": torch.zeros(0, 3),
        "layout.parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
    }


def main():
    import torch

    state = make_state()
    module = torch.nn.BatchNorm1d(2).state_dict()  # an OrderedDict with metadata of its own
    for name, is_zip in (("zip", True), ("legacy", False)):
        options = {"_use_new_zipfile_serialization": is_zip}
        torch.save(state, HERE / f"state_{name}.pth", **options)
        nested = {"state_dict": module, "epoch": 3}
        torch.save(nested, HERE / f"nested_{name}.pt", **options)


if __name__ == "__main__":
    main()
