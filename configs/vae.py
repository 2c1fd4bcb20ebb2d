"""Causal video autoencoder on clips and images.

    python -m seedance_jax.train --config=configs/vae.py:tiny --workdir=runs/vae

`tiny` takes about 5 minutes on two idle cores.
"""

from configs import base


def get_config(size="base"):
    """`size` is smoke, tiny, small or base."""
    config = base.get_base(size)
    choose = base.choose
    clips = choose(
        size,
        smoke=((17, 64, 64, 2, 4.0), (1, 64, 64, 8, 1.0)),
        small=((17, 128, 128, 64, 4.0), (1, 128, 128, 256, 1.0)),
        base=((17, 256, 256, 64, 4.0), (9, 480, 480, 32, 1.0), (1, 480, 480, 128, 1.0)),
    )
    config.update(
        {
            "stage": "vae",
            "num_steps": choose(size, smoke=12, tiny=12_000, small=200_000, base=800_000),
            "ema_decay": choose(size, smoke=0.99, small=0.999),
            "data": base.data(size, clips),
            "vae": base.vae(size),
            "loss": {"l1": 1.0, "l2": 8.0, "kl": 1e-5},
            "optimizer": {
                "name": "adamw",
                "peak_lr": choose(size, smoke=2e-3, small=3e-4, base=1e-4),
                "warmup_steps": choose(size, smoke=2, tiny=150, small=2000),
                "weight_decay": 0.01,
                "clip_norm": 1.0,
            },
        }
    )
    return config.lock()
