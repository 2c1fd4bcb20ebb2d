"""Video files to arrays and back; nothing else knows about codecs (PyAV)."""

from seedance_jax.data.video.display import ClipError, even_size
from seedance_jax.data.video.encoding import check_frames, encode_mp4, encode_parts
from seedance_jax.data.video.reader import VideoReader, decode_mp4

__all__ = [
    "ClipError",
    "VideoReader",
    "check_frames",
    "decode_mp4",
    "encode_mp4",
    "encode_parts",
    "even_size",
]
