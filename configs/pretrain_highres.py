"""Third stage of pretraining: the full resolution, still at a low frame rate.

    python -m seedance_jax encode --config=configs/pretrain_highres.py:tiny \\
        --config.vae_run=runs/vae
    python -m seedance_jax train --config=configs/pretrain_highres.py:tiny \\
        --config.vae_run=runs/vae --config.init_from=runs/pretrain_video \\
        --workdir=runs/pretrain_highres

From here on latents are precomputed (`encode`). In Seedance 1.0 640 pixels, which have the area of
480p (Section 2.4 of arXiv:2506.09113).
"""

from ml_collections import ConfigDict

from configs import base, pretrain_video


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = pretrain_video.get_config(size).unlock()
    config.name = "pretrain_highres"
    choose = base.choose
    config.num_steps = choose(
        size, smoke=6, tiny=500, released=5000, small=20_000, base=100_000, **{"7b": 200_000}
    )
    config.data.buckets = choose(
        size,
        smoke=((9, 64, 64, 16, 1.0, 2),),
        tiny=((9, 64, 64, 16, 4.0, 2), (1, 64, 64, 32, 1.0)),
        released=((13, 128, 128, 16, 4.0, 2), (1, 128, 128, 32, 1.0)),
        small=((25, 128, 128, 128, 4.0, 2), (1, 128, 128, 512, 1.0)),
        base=((25, 480, 480, 256, 4.0, 2), (1, 480, 480, 1024, 1.0)),
        **{"7b": ((61, 480, 864, 256, 4.0, 2), (1, 480, 864, 2048, 1.0))},
    )
    config.data.latents = True
    config.data.clips_per_row = choose(size, smoke=2, tiny=4)
    return config.lock()
