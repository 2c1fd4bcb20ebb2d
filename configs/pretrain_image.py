"""First stage of pretraining: text to image, at the lowest resolution.

    python -m seedance_jax train --config=configs/pretrain_image.py:tiny \\
        --config.vae_run=runs/vae --workdir=runs/pretrain_image

Pictures are single frames of the clips, encoded as they are drawn. Base and larger as in Seedance
1.0 (Section 2.4 of arXiv:2506.09113): 256 pixels; its numbers of steps and batches are not stated.
"""

from ml_collections import ConfigDict

from configs import base, pretrain


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = pretrain.get_config(size).unlock()
    config.name = "pretrain_image"
    choose = base.choose
    config.num_steps = choose(
        size, smoke=6, tiny=400, released=600, small=30_000, base=100_000, **{"7b": 200_000}
    )
    config.data.buckets = choose(
        size,
        smoke=((1, 32, 32, 32, 1.0),),
        tiny=((1, 32, 32, 64, 1.0),),
        released=((1, 64, 64, 32, 1.0),),
        small=((1, 64, 64, 1024, 1.0),),
        base=((1, 256, 256, 2048, 1.0),),
    )
    config.data.latents = False
    config.tasks = {"text_to_video": 1.0}
    # Each is dropped half of the time, so none is needed.
    config.model.conditions = ("fps", "camera", "gravity", "states")
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, config.num_steps // 10)
    config.optimizer.decay_to = 1.0
    return config.lock()
