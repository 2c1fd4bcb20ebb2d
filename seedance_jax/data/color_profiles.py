"""The colours of a picture in sRGB, as its colour profile (ICC) means them."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

# Modes of Pillow by the colour space that a profile is for.
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
ROUNDING = 2  # 8-bit levels by which profiles of sRGB differ from each other
GAMMA, GAMMA_ERROR = 1 / 2.2, 0.01  # as PNG files of sRGB say it without a profile
PRIMARIES, PRIMARIES_ERROR = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06), 0.005
SRGB_CODES = (1, 13)  # of primaries and transfer, as ITU-T H.273 numbers them
CONVERTED = "converted to sRGB from its colour profile"


def to_srgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """(a picture of 8 bits as RGB, or RGBA if some of it is transparent, what was changed).

    Profiles are applied by LittleCMS, relative colorimetric; those of sRGB change nothing. Without
    one, or with one that cannot be used, which is said, values are taken as sRGB.
    """
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # anything else makes Pillow warn
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = image.info.get("icc_profile")
    codes = tuple((image.info.get("cicp") or b"")[:2])
    image = _without_alpha(image)
    if len(codes) == 2:  # a profile gives way to them
        said = "its colours (cICP: primaries {}, transfer {}) are not applied: taken as sRGB"
        notes = [said.format(*codes)] if codes != SRGB_CODES else []
    elif profile:
        image, notes = apply_profile(image, profile)
    elif "icc_profile" in image.info:
        notes = ["its colour profile is damaged: taken as sRGB"]
    else:
        notes = _unprofiled(image.info)
    if image.mode == "CMYK":
        notes.append("converted from CMYK without a colour profile")
    image = image.convert("RGB")
    if alpha and alpha.getextrema()[0] < 255:
        image.putalpha(alpha)
    return image, notes


def _without_alpha(image):
    """The picture in one of MODES, with its info."""
    info = image.info
    if image.mode not in MODES.values():
        grey = image.mode in ("1", "LA", "La")
        straight = image.convert("LA") if image.mode == "La" else image
        image = straight.convert("L" if grey else "RGB")
    image.info = {name: value for name, value in info.items() if name != "transparency"}
    return image


def png_chunk(path: Path, name: bytes) -> bytes | None:
    """The content of a chunk of a PNG that stands before its pixels, if there is one."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            (length,) = struct.unpack(">I", head[:4])
            if head[4:] == name:
                return file.read(length)
            file.seek(length + 4, io.SEEK_CUR)
    return None


def apply_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, list[str]]:
    """(a picture in one of MODES as its profile means it, notes); unchanged if it is of sRGB."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if (image.mode, MODES.get(space)) == ("L", "RGB"):
            image = image.convert("RGB")
        if MODES.get(space) != image.mode:
            return image, [f"its colour profile is for {space}, not for {image.mode}: not applied"]
        srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
        convert = ImageCms.buildTransform(opened, srgb, image.mode, "RGB", intent)
        if image.mode in ("RGB", "L") and _changes_nothing(convert, image.mode):
            return image, []
        return ImageCms.applyTransform(image, convert), [CONVERTED]
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())
        return image, [f"its colour profile cannot be applied: taken as sRGB ({reason})"]


def _changes_nothing(convert, mode):
    """Whether colours all over the cube, or all greys, stay what they are."""
    levels = np.arange(0, 256, 15 if mode == "RGB" else 1, dtype=np.uint8)
    if mode == "RGB":
        levels = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    probe = Image.fromarray(levels if mode == "RGB" else levels[None])
    made = np.asarray(ImageCms.applyTransform(probe, convert), int)
    return np.abs(made - np.asarray(probe.convert("RGB"))).max() <= ROUNDING


def _unprofiled(info):
    """What a PNG without a profile says of its colours that is not so of sRGB, and not applied."""
    if "srgb" in info:
        return []
    notes, gamma, primaries = [], info.get("gamma"), info.get("chromaticity")
    if gamma and abs(gamma - GAMMA) > GAMMA_ERROR:
        notes.append(f"its gamma of 1/{1 / gamma:.3g} is not applied: taken as sRGB")
    if primaries and np.abs(np.subtract(primaries, PRIMARIES)).max() > PRIMARIES_ERROR:
        notes.append("its primaries are not applied: taken as sRGB")
    return notes
