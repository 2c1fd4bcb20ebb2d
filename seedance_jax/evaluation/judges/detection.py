"""Objects of a clip of the synthetic world: where each colour of the palette is, frame by frame.

Objects of a scene differ in colour, so a colour is a name that lasts over the clip: a track is the
way of one colour. Of the scene only the colours that several objects have are known: those have a
track each. Frames are uint8 [T,H,W,3]; places are pixels (x to the right, y down), the centre of
the first pixel is (0.5, 0.5).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage import morphology

from seedance_jax.evaluation.judges import colors, following

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
# The same of what has stripes of a darker tone.
STRIPED_EDGE = 0.3
# What joins an object's colour to more of it elsewhere is thinner than so much, a share of the
# frame's side.
THREAD = 2.5 / 64
# What no scene of a colour asks for is an object if it is so thick; shares of the frame's side.
THICK = 5.0 / 64
# Colours that sand may be taken for, and chroma that it never has.
SANDY, SAND = ("yellow", "orange"), 32.0


class Asked(NamedTuple):
    """What a scene has of a colour: objects, and whether any is striped with a darker tone."""

    count: int = 1
    striped: bool = False


ONE = Asked()


class Track(NamedTuple):
    """The way of an object through T frames of a shot; NaN where it is not seen.

    Attributes:
      color: key of `COLORS`.
      masks: bool [T,H,W].
      seen: bool [T].
      center: [T,2] pixels (x, y) of the middle of the outline.
      area: [T] pixels.
      whole: bool [T], seen and clear of the border.
      number: which it is of the objects of its colour, from 0.
      pixels: bool [T,H,W], all that has its colour: more than the outline's largest part.
      end: frame from which on it is in parts, which its pixels show; None if it stays whole.
    """

    color: str
    masks: Any
    seen: Any
    center: Any
    area: Any
    whole: Any
    number: int = 0
    pixels: Any = None
    end: Any = None

    @property
    def radius(self) -> float:
        """Pixels: of the disc as large as the object is, when it is seen best."""
        return float(np.sqrt(np.percentile(self.area[self.seen], 75) / np.pi))

    @property
    def covers(self) -> np.ndarray:
        """bool [T,H,W]: what it covers of the picture."""
        if self.end is None:
            return self.masks
        return self.masks | self.pixels & (np.arange(len(self.seen)) >= self.end)[:, None, None]

    def until(self, frame: int) -> "Track":
        """The track without what is seen from a frame on; its pixels stay."""
        before = np.arange(len(self.seen)) < frame
        return self._replace(
            masks=self.masks & before[:, None, None],
            seen=self.seen & before,
            center=np.where(before[:, None], self.center, np.nan),
            area=self.area * before,
            whole=self.whole & before,
            end=frame,
        )


def find_tracks(
    lab: np.ndarray,
    asked: Mapping[str, Asked] | None = None,
    roll: np.ndarray | None = None,
) -> list[Track]:
    """The tracks of a shot in CIE Lab [T,H,W,3], the largest first.

    Args:
      asked: {colour: what the scene has of it}; None of the old world, of which nothing is known.
      roll: [T] degrees by which the camera is turned clockwise: what is behind an object is told by
        its row, and rows are to be level.
    """
    lab = lab if roll is None else turned(lab, roll)
    known = asked or {}
    difference = colors.contrast(lab)
    hues, strong = _strong(lab, difference)
    present = [
        name for number, name in enumerate(colors.HUES) if _is_object(strong & (hues == number))
    ]
    grey = np.hypot(lab[..., 1], lab[..., 2]) < colors.MIN_CHROMA
    edges = {name: STRIPED_EDGE if known.get(name, ONE).striped else EDGE for name in present}
    still = asked is not None and len(lab) == 1  # no other frame tells what is behind objects
    behind = colors.background_from_below if still else colors.background
    masks = _split(lab, edges, behind(lab, grey))
    if asked is not None:
        masks = {name: _without_threads(mask) for name, mask in masks.items()}
    ways = {name: _ways(mask, known.get(name, ONE).count) for name, mask in masks.items()}
    nothing = np.zeros(lab.shape[:3], bool)
    told = [way for parts in ways.values() for way in parts]
    whole = [mask for name, mask in masks.items() if len(ways[name]) > 1]  # not told apart, too
    colored = np.any([nothing, *told, *whole], axis=0)
    taken = ndimage.binary_dilation(colored, np.ones((1, 3, 3)))
    white = _white(lab, difference, taken, asked)
    if _is_object(white):
        masks["white"], ways["white"] = white, [white if asked is None else _parts(white)]
    if asked is not None:
        ways = {n: w for n, w in ways.items() if n in asked or _is_other(n, masks[n], lab)}
    back = (lambda mask: mask) if roll is None else lambda mask: turned(mask, -roll)
    tracks = [
        _track(name, back(way), number, back(masks[name]))
        for name, parts in ways.items()
        for number, way in enumerate(parts)
    ]
    least = min(MIN_FRAMES, len(lab))
    tracks = [track for track in tracks if track is not None and track.seen.sum() >= least]
    return sorted(tracks, key=lambda track: -track.area.sum())


def _white(lab, difference, taken, asked):
    """Mask [T,H,W] of what is white."""
    if asked is None:
        return colors.white_pixels(lab, difference, taken)
    # Rows that objects and their shadows fill show little of the floor.
    behind = colors.background if len(lab) > colors.LONG else colors.background_from_below
    striped = asked.get("white", ONE).striped
    return _without_threads(colors.whole_white_pixels(lab, behind(lab, ~taken), taken, striped))


def turned(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Images [T,H,W,C], or masks [T,H,W], turned clockwise about their middle by `degrees` [T]."""
    height, width = images.shape[1:3]
    middle, is_mask = ((width - 1) / 2, (height - 1) / 2), images.ndim == 3
    how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    how = {"flags": cv2.INTER_NEAREST} if is_mask else how
    values = images.astype(np.uint8 if is_mask else np.float32)
    found = [
        cv2.warpAffine(value, cv2.getRotationMatrix2D(middle, -angle, 1.0), (width, height), **how)
        for value, angle in zip(values, degrees.tolist(), strict=True)
    ]
    return np.stack(found).astype(images.dtype)


def _is_other(name, mask, lab):
    """Whether a mask [T,H,W] of a colour that nobody asked for holds something as thick as objects
    are, and not sand beside what is bluer."""
    if not mask.any() or (name in SANDY and np.median(np.hypot(*lab[mask][:, 1:].T)) < SAND):
        return False
    side = 2 * round(THICK * min(mask.shape[1:]) / 2) + 1
    core = ndimage.binary_opening(mask, np.ones((1, side, side)))
    return (core.mean((1, 2)) > MIN_AREA).sum() >= min(MIN_FRAMES, len(mask))


def _without_threads(mask):
    """A mask [T,H,W] without what is thin; corners stay."""
    side = 2 * round(THREAD * min(mask.shape[1:]) / 2) + 1
    core = ndimage.binary_opening(mask, np.ones((1, side, side)))
    return mask & ndimage.binary_dilation(core, np.ones((1, side, side)))


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
    return (core.mean((1, 2)) > MIN_AREA).sum() >= min(MIN_FRAMES, len(mask))


def _split(lab, edges, background):
    """{colour: mask [T,H,W]} of the colours of `edges`, each pixel to one at most."""
    if not edges:
        return {}
    angle = np.array([colors.HUES[name] for name in edges])
    own = np.cos(colors.hue(lab)[..., None] - angle).argmax(-1)
    masks = {}
    for number, (name, edge) in enumerate(edges.items()):
        signal = (lab - background)[..., 1:] @ [np.cos(angle[number]), np.sin(angle[number])]
        mask = (own == number) & (signal > MIN_SIGNAL)
        if mask.any():
            mask &= signal > edge * np.percentile(signal[mask], 75)
        masks[name] = mask
    return masks


def _ways(mask, count):
    """Masks [T,H,W] of as many objects of one colour."""
    return [_parts(mask)] if count == 1 else following.follow(mask, count, MIN_AREA)


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


def _track(color, parts, number, pixels):
    """The `Track` of an object's pixels [T,H,W]; None if they are no solid thing."""
    masks = _hulls(parts)
    if parts.sum() < MIN_SOLIDITY * masks.sum() or masks.mean() > MAX_SHARE:
        return None
    area = masks.sum((1, 2)).astype(float)
    seen = area > MIN_AREA * masks[0].size
    center = np.full((len(masks), 2), np.nan)
    for k in np.flatnonzero(seen):
        rows, columns = np.nonzero(masks[k])
        center[k] = columns.mean() + 0.5, rows.mean() + 0.5
    border = masks[:, [0, -1]].any((1, 2)) | masks[:, :, [0, -1]].any((1, 2))
    return Track(color, masks, seen, center, area, seen & ~border, number, pixels)
