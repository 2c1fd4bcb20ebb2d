"""Objects of a clip of the synthetic world: where each colour of the palette is, frame by frame.

Objects of a scene differ in colour, so a colour is a name that lasts over the clip: a track is the
way of one colour. Nothing is known of the scene. Frames are uint8 [T,H,W,3]; places are pixels
(x to the right, y down), the centre of the first pixel is (0.5, 0.5).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from skimage import morphology

from seedance_jax.evaluation.judges import colors

# An object fills so much of a frame at least, to be seen in it; and is seen in so many frames.
MIN_AREA = 0.004
MIN_FRAMES = 2
# Lab units along its hue by which an object's own pixels stand out from the background.
MIN_SIGNAL = 12.0
# Share of its convex outline that an object fills, at least: noise is full of holes.
MIN_SOLIDITY = 0.5
# Share of the clip that it fills, at most: rendered ones 0.20.
MAX_SHARE = 0.4
# Where the edge lies, between the background (0) and the object's well lit parts (1).
EDGE = 0.45


class Track(NamedTuple):
    """The way of one colour through T frames of a shot; NaN where it is not seen.

    Attributes:
      color: key of `COLORS`.
      masks: bool [T,H,W].
      seen: bool [T].
      center: [T,2] pixels (x, y) of the middle of the outline.
      area: [T] pixels.
      whole: bool [T], seen and clear of the border.
    """

    color: str
    masks: Any
    seen: Any
    center: Any
    area: Any
    whole: Any

    @property
    def radius(self) -> float:
        """Pixels: of the disc as large as the object is, when it is seen best."""
        return float(np.sqrt(np.percentile(self.area[self.seen], 75) / np.pi))


def find_tracks(lab: np.ndarray) -> list[Track]:
    """The tracks of a shot in CIE Lab [T,H,W,3], the largest first."""
    difference = colors.contrast(lab)
    hues, strong = _strong(lab, difference)
    present = [
        name for number, name in enumerate(colors.HUES) if _is_object(strong & (hues == number))
    ]
    grey = np.hypot(lab[..., 1], lab[..., 2]) < colors.MIN_CHROMA
    parts = _split(lab, present, colors.background(lab, grey))
    colored = np.any(list(parts.values()), axis=0) if parts else np.zeros(lab.shape[:3], bool)
    taken = ndimage.binary_dilation(colored, np.ones((1, 3, 3)))
    white = colors.white_pixels(lab, difference, taken)
    if _is_object(white):
        parts["white"] = white
    tracks = [_track(name, mask) for name, mask in parts.items()]
    tracks = [track for track in tracks if track is not None and track.seen.sum() >= MIN_FRAMES]
    return sorted(tracks, key=lambda track: -track.area.sum())


def _strong(lab, difference):
    """(nearest of `HUES` [T,H,W], where a pixel's hue can be trusted [T,H,W])."""
    strong = np.hypot(lab[..., 1], lab[..., 2]) > colors.MIN_CHROMA
    strong &= np.hypot(difference[..., 1], difference[..., 2]) > colors.MIN_DISTANCE
    hues = np.full(lab.shape[:3], -1)
    hues[strong] = colors.nearest_hue(lab[strong])
    return hues, strong


def _is_object(mask):
    """Whether a mask [T,H,W] holds something more than rims of others and specks."""
    large = mask[mask.mean((1, 2)) > MIN_AREA]  # others are not once they are opened
    core = ndimage.binary_opening(large, np.ones((1, 3, 3)))
    return (core.mean((1, 2)) > MIN_AREA).sum() >= MIN_FRAMES


def _split(lab, present, background):
    """{colour: mask [T,H,W]} of the colours that are present, each pixel to one at most."""
    if not present:
        return {}
    angle = np.array([colors.HUES[name] for name in present])
    own = np.cos(colors.hue(lab)[..., None] - angle).argmax(-1)
    masks = {}
    for number, name in enumerate(present):
        signal = (lab - background)[..., 1:] @ [np.cos(angle[number]), np.sin(angle[number])]
        mask = (own == number) & (signal > MIN_SIGNAL)
        if mask.any():
            mask &= signal > EDGE * np.percentile(signal[mask], 75)
        masks[name] = _parts(mask)
    return masks


def _parts(mask):
    """The largest connected part of a mask [T,H,W] in every frame."""
    kept = np.zeros_like(mask)
    for image, out in zip(mask, kept, strict=True):
        labels, count = ndimage.label(image)
        if count:
            out[:] = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return kept


def _hulls(mask):
    return np.stack([morphology.convex_hull_image(m) if m.any() else m for m in mask])


def _track(color, parts):
    """The `Track` of a colour's pixels [T,H,W]; None if they are no solid thing."""
    masks = _hulls(parts)
    if parts.sum() < MIN_SOLIDITY * masks.sum() or masks.mean() > MAX_SHARE:
        return None
    area = masks.sum((1, 2)).astype(float)
    seen = area > MIN_AREA * masks[0].size
    center = np.full((len(masks), 2), np.nan)
    for number in np.flatnonzero(seen):
        rows, columns = np.nonzero(masks[number])
        center[number] = columns.mean() + 0.5, rows.mean() + 0.5
    border = masks[:, [0, -1]].any((1, 2)) | masks[:, :, [0, -1]].any((1, 2))
    return Track(color, masks, seen, center, area, seen & ~border)
