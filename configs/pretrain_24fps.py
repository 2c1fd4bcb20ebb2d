"""Last stage of pretraining: the full frame rate.

    python -m seedance_jax encode --config=configs/pretrain_24fps.py:tiny \\
        --config.vae_run=runs/vae
    python -m seedance_jax train --config=configs/pretrain_24fps.py:tiny \\
        --config.vae_run=runs/vae --config.init_from=runs/pretrain_highres \\
        --workdir=runs/pretrain_24fps

24 frames a second at `small` and larger, as in Seedance 1.0 (Section 2.4 of arXiv:2506.09113); 12
at the sizes for CPUs.
"""

from ml_collections import ConfigDict

from configs import base, pretrain_highres


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = pretrain_highres.get_config(size).unlock()
    config.name = "pretrain_24fps"
    choose = base.choose
    config.num_steps = choose(
        size, smoke=6, tiny=500, released=5000, small=20_000, base=50_000, **{"7b": 100_000}
    )
    config.data.buckets = choose(
        size,
        smoke=((17, 64, 64, 16, 1.0),),
        tiny=((17, 64, 64, 16, 4.0), (1, 64, 64, 32, 1.0)),
        released=((25, 128, 128, 8, 4.0), (1, 128, 128, 32, 1.0)),
        small=((49, 128, 128, 64, 4.0), (1, 128, 128, 512, 1.0)),
        base=((49, 480, 480, 256, 4.0), (1, 480, 480, 1024, 1.0)),
        **{"7b": ((121, 480, 864, 256, 4.0), (1, 480, 864, 2048, 1.0))},
    )
    return config.lock()
