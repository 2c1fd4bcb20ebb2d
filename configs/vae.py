"""Causal video autoencoder on clips and images.

    python -m seedance_jax train --config=configs/vae.py:tiny --workdir=runs/vae

`tiny` takes about 6 minutes on two idle cores.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base (also called seedance) or wan22.

    wan22 is base with the layers of the open Wan 2.2 autoencoder, whose files
    `seedance_jax convert` imports as a run.
    """
    base.check_size(size, more=("seedance", "wan22"))
    wan22 = size == "wan22"
    size = "base" if size in ("seedance", "wan22") else size
    config = base.get_base("vae", size)
    choose = base.choose
    clips = choose(
        size,
        smoke=((17, 64, 64, 2, 4.0), (1, 64, 64, 8, 1.0)),
        released=((17, 64, 64, 4, 4.0), (1, 64, 64, 16, 1.0)),
        # Every second frame (the last number) shows motion twice as fast.
        small=((17, 128, 128, 64, 3.0), (17, 128, 128, 64, 1.0, 2), (1, 128, 128, 256, 1.0)),
        base=(
            (17, 256, 256, 64, 3.0),
            (17, 256, 256, 64, 1.0, 2),
            (9, 480, 480, 32, 1.0),
            (1, 480, 480, 128, 1.0),
        ),
    )
    config.update(
        {
            "stage": "vae",
            "num_steps": choose(
                size, smoke=12, tiny=6000, released=20_000, small=200_000, base=800_000
            ),
            "ema_decay": choose(size, smoke=0.99, small=0.999),
            "data": base.data(size, clips),
            # Clips are parts of the picture at random scales, so that those of small buckets show
            # pixels of large ones.
            "random_scale": choose(size, smoke=False, released=True),
            "vae": base.vae(size),
            "freeze_encoder": False,
            "inherit": ("encoder", "decoder"),
            # "lpips" needs the public files of VGG16 and of the LPIPS heads, "gradients" none.
            "perceptual": {"name": "gradients", "vgg": "", "heads": ""},
            "loss": {
                "l1": 1.0,
                "l2": choose(size, smoke=8.0, small=0.0),
                "kl": choose(size, smoke=1e-5, small=1e-6),
                "perceptual": choose(size, smoke=0.0, released=0.5),
                "adversarial": choose(size, smoke=0.0, small=0.05),
                "adversarial_start": choose(size, smoke=0, small=100_000, base=400_000),
                "frames": choose(size, smoke=2, small=4),
            },
            "discriminator": {
                "widths": choose(size, smoke=(32, 64), small=(64, 128, 256, 512)),
                "dtype": choose(size, smoke="float32", small="bfloat16"),
            },
            "discriminator_optimizer": adamw(size),
            "optimizer": choose(size, smoke=muon(size), small=adamw(size)),
        }
    )
    if wan22:
        config.vae.decoder_widths = (1024, 1024, 512, 256)
    return config.lock()


def muon(size: str) -> dict:
    """Section `optimizer`: Muon needs fewer steps of more FLOPs, which is faster on CPUs."""
    return adamw(size) | {"name": "muon", "peak_lr": 1e-2}


def adamw(size: str) -> dict:
    """Section `optimizer` of the autoencoder, and that of its discriminator."""
    return {
        "name": "adamw",
        "peak_lr": base.choose(size, smoke=2e-3, small=3e-4, base=1e-4),
        "warmup_steps": base.choose(size, smoke=2, tiny=150, small=2000),
        "weight_decay": 0.01,
        "clip_norm": 1.0,
    }
