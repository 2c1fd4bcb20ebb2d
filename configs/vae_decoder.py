"""Fine-tuning of the decoder alone, at a higher resolution; latents do not change.

    python -m seedance_jax train --config=configs/vae_decoder.py:tiny --config.init_from=runs/vae \\
        --workdir=runs/vae_decoder

The new run can replace the old one for everything that was trained on its latents.
"""

from ml_collections import ConfigDict

from configs import base, vae


def get_config(size: str = "base") -> ConfigDict:
    """`size` is one of those of `configs/vae.py`."""
    config = vae.get_config(size).unlock()
    config.name = "vae_decoder"
    size = config.size
    config.data.buckets = base.choose(
        size,
        smoke=((17, 64, 64, 2, 4.0),),
        small=((17, 128, 128, 32, 1.0),),
        base=((17, 480, 480, 32, 1.0), (9, 480, 480, 32, 1.0)),
    )
    config.num_steps = base.choose(size, smoke=12, tiny=4000, small=20_000, base=100_000)
    config.optimizer.peak_lr = base.choose(size, smoke=5e-4, small=1e-4, base=3e-5)
    config.loss.adversarial_start = base.choose(size, smoke=0, small=2000)
    config.freeze_encoder = True
    return config.lock()
