"""A transcoder that dies, as of a fault in a codec. Not in a test file: processes import little."""

import os

from seedance_jax.data.builders import transcoding


def transcode_once(file, spec, done):
    if file.name == "3.mp4":
        os._exit(7)
    return transcoding.transcode_once(file, spec, done)
