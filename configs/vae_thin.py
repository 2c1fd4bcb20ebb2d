"""A thin, faster decoder for a frozen encoder.

    python -m seedance_jax train --config=configs/vae_thin.py:tiny --config.init_from=runs/vae \\
        --workdir=runs/vae_thin

Next to the pixels channels are halved (Seedance 1.0, Section 2.1; widths after arXiv:2506.09350,
Appendix C). The new run can replace the old one.
"""

from ml_collections import ConfigDict

from configs import base, vae


def get_config(size: str = "base") -> ConfigDict:
    """`size` is one of those of `configs/vae.py`."""
    config = vae.get_config(size).unlock()
    config.name = "vae_thin"
    config.vae.update(base.thin_decoder(config.size))
    if size == "wan22":
        config.vae.decoder_widths = (1024, 512, 256, 128)
    config.freeze_encoder = True
    config.inherit = ("encoder",)
    return config.lock()
