"""The settings that all configs share: data, autoencoder and training loop.

Sizes: `smoke` runs in seconds and proves the plumbing, `tiny` trains on two CPU cores in minutes,
`released` is `tiny` on more clips for longer (the weights in the repository), `small` is for one
accelerator host, `base` for a pod. The generator also has `7b`, which inherits from `base`. Configs
import neither jax nor the package.
"""

from ml_collections import ConfigDict

SIZES = ("smoke", "tiny", "released", "small", "base")
LARGER = (*SIZES, "7b")  # sizes of the generator


def check_size(size: str, more: tuple[str, ...] = ()) -> None:
    """Raises ValueError unless `size` is one of SIZES or of `more`."""
    if size not in (*SIZES, *more):
        legal = ", ".join((*SIZES, *more))
        raise ValueError(f"no size {size!r}; sizes, as in --config=configs/vae.py:tiny: {legal}")


def choose(size: str, **by_size: object):
    """The value for `size`, else that of the next smaller size given."""
    names = LARGER[: LARGER.index(size) + 1]
    return next(by_size[name] for name in reversed(names) if name in by_size)


def world(size: str) -> dict:
    """The synthetic world: version, slice, format of clips and number of clips per split."""
    smoke = {"train": 48, "validation": 16, "held_out_combinations": 16, "out_of_range": 8}
    tiny = {"train": 3000, "validation": 64, "held_out_combinations": 64, "out_of_range": 32}
    released = {**tiny, "train": 6000}
    small = {"train": 100_000, "validation": 512, "held_out_combinations": 512, "out_of_range": 512}
    return {
        "version": "2.0.0",
        # Share of boring, shaky and badly exposed clips, which `continue_train` leaves out.
        "flawed": choose(size, smoke=0.0, tiny=0.15),
        "slice": choose(size, smoke="tiny", released="plain", small="full"),
        "num_frames": choose(size, smoke=17, released=25, small=49, **{"7b": 121}),
        "height": choose(size, smoke=64, released=128, base=480),
        "width": choose(size, smoke=64, released=128, base=480, **{"7b": 864}),
        "fps": choose(size, smoke=12, small=24),
        **choose(size, smoke=smoke, tiny=tiny, released=released, small=small),
    }


def simple(size: str) -> dict:
    """The slice of the fewest shapes, events and cameras, in the format of `world`."""
    return {"source": "world", **world(size), "slice": "tiny"}


def data(size: str, buckets: tuple, latents: bool = False) -> dict:
    """Section `data`.

    Args:
      buckets: (frames, height, width, global batch size, weight of the draw[, frame stride]).
      latents: train on latents that `seedance_jax encode` has precomputed, instead of encoding
        every batch.
    """
    return {
        "source": choose(size, smoke="world", released="world:1,simple:1", small="world"),
        "data_dir": "data",
        "world": world(size),
        # A second data set of simpler scenes, at `released`.
        **choose(size, smoke={}, released={"simple": simple(size)}, small={}),
        # Used when source is "folder": a directory of clips with captions.
        "folder": {
            "path": "",
            "num_frames": choose(size, smoke=17, released=25, small=49, **{"7b": 121}),
            "fps": choose(size, smoke=12.0, small=24.0),
            "storage_size": choose(size, smoke=64, released=128, base=480),
            "validation_fraction": 0.05,
            "max_lost": 0.01,
        },
        "buckets": buckets,
        # Rows to train on, by the scores of `seedance_jax score` and by labels, as in
        # "motion > 0.3 and not shaky"; "" is all. The thresholds fit the synthetic world.
        "filter": "",
        # The name of a table of what people decided, which `score --reviews=FILE` prints.
        "reviews": "",
        "labels": {
            "static": "motion < 0.18 and camera < 0.02",
            "shaky": "shake > 0.3",
            "fast": "speed > 8",
            "blurry": "sharpness < 0.25",
            "overexposed": "clipped > 0.1",
            "underexposed": "highlights < 0.68",
        },
        "latents": latents,
        # Clips of a row that are encoded, other starts and crops: as many as the data can give.
        "clips_per_row": 1,
        "text_length": choose(size, smoke=256, released=304),
        "num_processes": 2,
        "num_threads": 2,
        "num_workers": choose(size, smoke=0, small=8),
    }


def vae(size: str) -> dict:
    """Section `vae`: the autoencoder, compression (4, 16, 16) with 48 channels at every size."""
    toy = {
        "patch": 16,
        "encoder_widths": (128, 128, 128),
        "decoder_widths": (128, 128, 128),
        "strides": ((2, 1), (2, 1)),
        "encoder_blocks": (0, 0, 0),
        "decoder_blocks": (0, 0, 1),
        "kernels": ((1, 3, 3), (1, 1, 1)),
        "linear_ends": True,
    }
    # Stages down to patches of 4 x 4 pixels: one layer from 16 x 16 to a position blurs edges.
    # Those of 2 x 2, as at larger sizes, take 2.6 times as long a step on two cores.
    released = {
        "patch": 4,
        "encoder_widths": (48, 96, 96),
        "decoder_widths": (96, 96, 64),
        "strides": ((2, 2), (2, 2)),
        "encoder_blocks": (1, 1, 1),
        "decoder_blocks": (1, 1, 2),
        "kernels": ((1, 3, 3), (3, 1, 1)),
        "linear_ends": False,
    }
    small = {
        "patch": 2,
        "encoder_widths": (32, 64, 128, 128),
        "decoder_widths": (192, 192, 96, 48),
        "strides": ((1, 2), (2, 2), (2, 2)),
        "encoder_blocks": (2, 2, 2, 2),
        "decoder_blocks": (3, 3, 3, 3),
        "kernels": ((3, 3, 3), (3, 3, 3)),
        "linear_ends": False,
    }
    # 575 M parameters, near the 553 M of the same lab's autoencoder (arXiv:2504.08685 Table 1). The
    # decoder is a little narrower than Wan 2.2's: its width costs most where images are largest.
    full = {
        **small,
        "encoder_widths": (160, 320, 640, 640),
        "decoder_widths": (896, 896, 448, 224),
    }
    return {
        "latent_channels": 48,
        "dtype": choose(size, smoke="float32", small="bfloat16"),
        **choose(size, smoke=toy, released=released, small=small, base=full),
    }


def thin_decoder(size: str) -> dict:
    """The decoder of `vae(size)` with half the width next to pixels, and two blocks per stage."""
    return {
        "decoder_widths": choose(
            size,
            smoke=(64, 64, 64),
            released=(96, 48, 32),
            small=(192, 96, 48, 24),
            base=(896, 448, 224, 112),
        ),
        "decoder_blocks": choose(size, smoke=(0, 0, 1), released=(1, 1, 1), small=(2, 2, 2, 2)),
    }


def get_base(name: str, size: str) -> ConfigDict:
    """The fields that all stages share; name: of the config, by which its runs are called."""
    check_size(size, more=LARGER[len(SIZES) :])
    return ConfigDict(
        {
            "name": name,
            "size": size,
            "seed": 0,
            "init_from": "",
            "mesh": {"data": 1, "fsdp": -1, "sequence": 1, "tensor": 1},
            "log_every": choose(size, smoke=5, tiny=100),
            "checkpoint_every": choose(size, smoke=10, tiny=500, small=2000),
            "keep_checkpoints": 2,
            # Checkpoints at multiples of this step are kept for good; 0: none.
            "keep_every": choose(size, smoke=0, small=50_000),
            # Gradient accumulation: parts of a batch that are computed one after the other.
            "accumulate": choose(size, smoke=1, **{"7b": 2}),
            "max_skipped": 20,  # consecutive non-finite steps before training gives up
        }
    )
