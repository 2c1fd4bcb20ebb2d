"""Continued training on the clips that score best, with more image to video.

    python -m seedance_jax score --config=configs/continue_train.py:tiny
    python -m seedance_jax train --config=configs/continue_train.py:tiny \\
        --config.vae_run=runs/vae --config.init_from=runs/pretrain_24fps \\
        --workdir=runs/continue_train

As in Seedance 1.0 (Section 2.4 of arXiv:2506.09113): clips are kept by their aesthetics and by
their motion, which a flow of the pictures tells; image to video rises from 20 to 40 %, partly with
captions of the motion alone; the rate is annealed. The thresholds and the share of such captions
are our choice.
"""

from ml_collections import ConfigDict

from configs import base, pretrain_24fps

IMAGE_TO_VIDEO = 0.4
SOUND = "not (static or shaky or fast or blurry or overexposed or underexposed)"
KEPT = f"{SOUND} and motion > 0.25 and aesthetic > 0.3"


def get_config(size: str = "base") -> ConfigDict:
    """`size` is smoke, tiny, released, small, base or 7b."""
    config = pretrain_24fps.get_config(size).unlock()
    config.name = "continue_train"
    config.num_steps = base.choose(
        size, smoke=6, tiny=300, released=3000, small=20_000, base=50_000
    )
    config.data.filter = base.choose(size, smoke="not static", tiny=KEPT)
    others = sum(config.tasks.values()) - config.tasks.image_to_video
    scale = (1 - IMAGE_TO_VIDEO) / others
    config.tasks = {name: scale * share for name, share in config.tasks.items()}
    config.tasks.image_to_video = IMAGE_TO_VIDEO
    config.motion_captions = 0.5
    config.optimizer.peak_lr = config.optimizer.peak_lr / 2
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, config.num_steps // 10)
    config.optimizer.decay_to = 0.0
    return config.lock()
