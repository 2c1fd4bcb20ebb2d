"""LoRA adapters for a generator, to learn a style or a subject from few clips.

    python -m seedance_jax train --config=configs/lora.py:tiny --config.vae_run=runs/vae \\
        --config.lora.base_run=runs/pretrain --workdir=runs/lora

then `sample --workdir=runs/pretrain --lora=runs/lora`, or `merge` writes an ordinary run of both.
The data are those of `configs/pretrain.py`; `--config.data.source=folder` takes your own.
"""

from ml_collections import ConfigDict

from configs import base, pretrain


def get_config(size: str = "base") -> ConfigDict:
    """`size` is one of those of `configs/pretrain.py`."""
    config = pretrain.get_config(size).unlock()
    config.name = "lora"
    config.lora = {
        "base_run": "",
        "rank": base.choose(config.size, smoke=4, small=16),
        "alpha": base.choose(config.size, smoke=4.0, small=16.0),  # W + alpha / rank * a b
        # Names of submodules of the blocks: all projections of attention, in the text model, too
        # ("out" is that of temporal blocks and of the text model, not the DiT's head).
        "targets": ("query", "key", "value", "out", "video_out", "text_out"),
    }
    config.num_steps = base.choose(config.size, smoke=12, tiny=500, small=2000)
    config.optimizer.name = base.choose(config.size, smoke="adamw", **{"7b": "adamw_bf16"})
    config.optimizer.peak_lr = base.choose(config.size, smoke=2e-3, small=2e-4)
    return config.lock()
