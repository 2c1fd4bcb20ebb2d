"""Second stage of pretraining: images and clips together, at a low resolution and frame rate.

    python -m seedance_jax train --config=configs/pretrain_video.py:tiny \\
        --config.vae_run=runs/vae --config.init_from=runs/pretrain_image \\
        --workdir=runs/pretrain_video

In Seedance 1.0 256 pixels and 12 frames a second (Section 2.4 of arXiv:2506.09113); one clip in
five is image to video, and a small share are images.
"""

from ml_collections import ConfigDict

from configs import base, pretrain, pretrain_image


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = pretrain_image.get_config(size).unlock()
    config.name = "pretrain_video"
    choose = base.choose
    config.num_steps = choose(
        size, smoke=6, tiny=1000, released=8000, small=50_000, base=200_000, **{"7b": 400_000}
    )
    # Every second frame (the last number) of what is stored.
    config.data.buckets = choose(
        size,
        smoke=((9, 32, 32, 16, 3.0, 2), (1, 32, 32, 32, 1.0)),
        released=((13, 64, 64, 16, 4.0, 2), (1, 64, 64, 32, 1.0)),
        small=((25, 64, 64, 256, 4.0, 2), (1, 64, 64, 1024, 1.0)),
        base=((25, 256, 256, 512, 4.0, 2), (1, 256, 256, 2048, 1.0)),
        **{"7b": ((61, 256, 256, 512, 4.0, 2), (1, 256, 256, 2048, 1.0))},
    )
    config.tasks = pretrain.get_config(size).tasks
    return config.lock()
