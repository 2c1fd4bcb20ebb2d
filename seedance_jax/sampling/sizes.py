"""Sizes by name: the pixel tables of the product (Seedance 1.0), all multiples of 32."""

RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")

# (width, height) by ratio, in the order of RATIOS.
SIZES = {
    "480p": ((864, 480), (736, 544), (640, 640), (544, 736), (480, 864), (960, 416)),
    "720p": ((1248, 704), (1120, 832), (960, 960), (832, 1120), (704, 1248), (1504, 640)),
    "1080p": ((1920, 1088), (1664, 1248), (1440, 1440), (1248, 1664), (1088, 1920), (2176, 928)),
}


def resolve_size(
    size: str | None, ratio: str | None, height: int | None, width: int | None
) -> tuple[int | None, int | None]:
    """(height, width) of a named size, or as they are if none is named; ratio is 16:9 by default.

    Raises ValueError for an unknown name, a ratio without size, or a size and pixels.
    """
    if size is None:
        if ratio is not None:
            raise ValueError(f"ratio={ratio!r} without a size; give one of {list(SIZES)}")
        return height, width
    if height is not None or width is not None:
        raise ValueError(f"size={size!r} and {height=}, {width=}: give a size or pixels, not both")
    if size not in SIZES:
        raise ValueError(f"size={size!r}; legal sizes: {list(SIZES)}")
    ratio = RATIOS[0] if ratio is None else ratio
    if ratio not in RATIOS:
        raise ValueError(f"ratio={ratio!r}; legal ratios: {list(RATIOS)}")
    return SIZES[size][RATIOS.index(ratio)][::-1]
