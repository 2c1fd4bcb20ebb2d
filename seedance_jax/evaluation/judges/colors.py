"""Colours of the synthetic world in CIE Lab, and what stands out from the background.

Classical vision with fixed thresholds, made for objects in daylight on a grey or sandy floor.
Frames are uint8 [T,H,W,3]. In Lab, shading moves a surface along lightness and chroma but hardly in
hue.
"""

import numpy as np
from scipy import ndimage

from seedance_jax.data.world.vocabulary import COLORS

# Lab units. Sand has chroma 21 at most and shadows on it, which lie 18 away, less than 10; faces in
# the shade of the dullest colour (cyan) have chroma 25.
MIN_CHROMA = 20.0
MIN_DISTANCE = 15.0

# White has no hue to tell, so only its sunlit parts count: bright, brighter than their row of
# pixels, and less blue than the sky (b = -10).
MIN_LIGHTNESS = 80.0
MIN_LIGHTNESS_GAIN = 8.0
MIN_WHITE_B = -5.0

# Lab units in lightness by which a white object's faces stand out, and how dark shadows are.
MIN_WHITE = 4.0
SHADOW = -20.0
# A face as bright as the floor is of another tint, evenly over some pixels: the sum of the squares
# of what it differs by, in units of how much floors vary (lightness, a, b). Not beside a shadow.
EVEN, TINTED, VARIES = 5, 18.0, (1.0, 0.4, 0.35)
SHADED = -10.0

# A floor with so much of b is yellow.
YELLOW = 8.0

# Of white things in today's world: lightness by which they are brighter or darker than the floor,
# and Lab units and share of b by which they are nearer to grey than a shadow as dark.
MIN_LIT, MIN_DARK, PALER = 5.0, 6.0, (3.0, 0.5)
# Shadows on floors that are not yellow are so much of the way to full shade, at least.
SHADOW_SHARE = 0.8
# What a shadow in daylight leaves of the floor's light, the horizon's colour, and the share of it
# that lies over a floor on which no shadow is.
IN_SHADE, HORIZON, FAR = (0.31, 0.34, 0.40), (0.72, 0.82, 0.95), 0.12
# Lab units a pixel by which the edge of a shadow rises.
STEEP = 3.0
# Rows of the picture, from below, that show the floor near by.
LOWEST = 3

# A white object shows so large a part of the clip in the sun, at least.
MIN_SUNLIT = 0.001

# Height and width of a dark stripe, and of the turn of a face from the sun, shares of the frame's
# side.
STRIPE, TURN = (5.0 / 64, 9.0 / 64), (5.0 / 64, 5.0 / 64)

# Share of a row that must be seen between objects, to tell what it looks like without them.
MIN_KNOWN = 0.15
# Lab units within which the floor of a row is like that of the row below, and share of the row that
# must be; otherwise it is taken to be.
LIKE_BELOW, MIN_LIKE = 8.0, 0.03
# Frames of a clip that shows the floor behind whatever passes.
LONG = 96

# Share of the largest component that others must have.
LARGE = 0.1

GAMMA = 2.2
# Linear RGB -> CIE XYZ; the rows are scaled so that white is (1, 1, 1).
RGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
RGB_TO_XYZ /= RGB_TO_XYZ.sum(1, keepdims=True)


def lab_of(frames: np.ndarray) -> np.ndarray:
    """uint8 [T,H,W,3] -> CIE Lab."""
    return to_lab((frames / 255.0) ** GAMMA)


def to_lab(linear: np.ndarray) -> np.ndarray:
    """Linear RGB [..., 3] in [0, 1] -> CIE Lab [..., 3]."""
    xyz = linear @ RGB_TO_XYZ.T
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def to_linear(lab: np.ndarray) -> np.ndarray:
    """The inverse of `to_lab`."""
    y = (lab[..., 0] + 16) / 116
    xyz = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(xyz > 0.2069, xyz**3, (xyz - 16 / 116) / 7.787)
    return xyz @ np.linalg.inv(RGB_TO_XYZ.T)


def hue(lab: np.ndarray) -> np.ndarray:
    """Angle in the plane of a and b, radians."""
    return np.arctan2(lab[..., 2], lab[..., 1])


HUES = {name: hue(to_lab(np.array(rgb))) for name, rgb in COLORS.items() if name != "white"}


def nearest_hue(lab: np.ndarray) -> np.ndarray:
    """[N, 3] -> int [N], which of `HUES` is nearest."""
    return np.cos(hue(lab)[:, None] - np.array(list(HUES.values()))).argmax(1)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest part of a mask [T,H,W] that is connected in space and time, as a mask."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    return labels == 1 + np.bincount(labels.ravel())[1:].argmax()


def large_components(mask: np.ndarray) -> np.ndarray:
    """The same, with others that are not much smaller: what passes before an object parts it."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= LARGE * sizes.max())[labels] & mask


def contrast(lab: np.ndarray) -> np.ndarray:
    """How pixels [T,H,W,3] differ from their background: the median of their row, in their frame or
    over the clip, whichever is nearer; so an object may be as wide as the frame for a while."""
    row, clip = np.median(lab, axis=2, keepdims=True), np.median(lab, axis=(0, 2), keepdims=True)
    first, second = lab - row, lab - clip
    nearer = (first**2).sum(-1, keepdims=True) < (second**2).sum(-1, keepdims=True)
    return np.where(nearer, first, second)


def background(lab: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Median [T,H,1,3] of each row's known pixels, or of its pixels over the clip if few are; or if
    the row is unlike those of a long clip: what fills it is as grey as floors are.

    Args:
      known: mask [T,H,W] of pixels that no object of a colour covers.
    """
    own, other = _median(lab, known), known.mean(2)[..., None, None] < MIN_KNOWN
    if not other.any() and len(lab) <= LONG:
        return own
    clip = _median(np.concatenate(list(lab), 1)[None], np.concatenate(list(known), 1)[None])
    if len(lab) > LONG:
        other |= np.linalg.norm(own - clip, axis=-1, keepdims=True) > LIKE_BELOW
    return np.where(other, clip, own)


def background_from_below(lab: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The same, of those pixels of a row that are like the background of the row below; where few
    are, that of the row below: more may be seen of objects than of the floor. The lowest row is
    that of the clip."""
    rows = background(lab, known)
    rows[:, -1] = np.median(rows[:, -1], axis=0)
    for number in range(lab.shape[1] - 2, -1, -1):
        away = np.linalg.norm(lab[:, number] - rows[:, number + 1], axis=-1)
        like = known[:, number] & (away < LIKE_BELOW)
        some = like.mean(1) > MIN_LIKE
        rows[some, number] = _median(lab[some, number], like[some])
        rows[~some, number] = rows[~some, number + 1]
    return rows


def _median(values, known):
    """Median over the known ones of the last axis but one of [...,W,3], which stays; [...,1,3]."""
    ordered = np.sort(np.where(known[..., None], values, np.inf), axis=-2)
    middle = np.take_along_axis(
        ordered, (known.sum(-1) // 2)[..., None, None].clip(max=known.shape[-1] - 1), -2
    )
    return np.where(np.isfinite(middle), middle, np.median(values, axis=-2, keepdims=True))


def white_pixels(lab: np.ndarray, difference: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """White objects in [T,H,W,3], a mask: brighter than their row of pixels, less yellow than sand
    or darker than the background, but not as dark as a shadow, nor as thin as the edge of one.

    Args:
      difference: `contrast` of lab.
      taken: mask [T,H,W] of objects of other colours.
    """
    enough = _sunlit(lab, difference, taken).mean() >= MIN_SUNLIT
    mask = largest_component(_unlike_floor(difference) & ~taken & enough)
    return ndimage.binary_opening(mask, np.ones((1, 3, 3)))


def whole_white_pixels(
    lab: np.ndarray, floor: np.ndarray, taken: np.ndarray, striped: bool
) -> np.ndarray:
    """The same, with what lies between faces in the sun and faces in the shade, which is as bright
    as the floor, and half of the time unseen; and with all that is no shadow on it.

    Args:
      floor: [T,H,1,3] what is behind objects, see `background`.
      striped: whether dark stripes may lie between what is bright, too.
    """
    difference, side = lab - floor, min(lab.shape[1:3])
    shares = np.sort(_sunlit(lab, difference, taken))
    if shares[len(shares) // 2 :].mean() < MIN_SUNLIT / (2 if striped else 1):
        return np.zeros_like(taken)
    unlike = _unlike_shadow(lab, floor, striped)
    tinted = _unlike_floor(difference, fine=striped) | (_is_tinted(difference) & _is_pale(lab))
    mask = (unlike | (tinted & (floor[..., 2] <= YELLOW))) & ~taken
    gap = [2 * round(share * side / 2) + 1 for share in (STRIPE if striped else TURN)]
    mask = ndimage.binary_closing(mask, np.ones((1, *gap))) & ~taken
    return ndimage.binary_opening(large_components(mask), np.ones((1, 3, 3)))


def _unlike_shadow(lab, floor, fine):
    """What is brighter than the floor, paler than it and its shadows, or darker but too bright for
    a shadow; far away all that is dark. It may be as narrow as a pixel if it is `fine`."""
    shade, haze = _in_shade(floor)
    soft = ndimage.median_filter(lab, (1, 3, 3, 1))
    lightness, b = (lab if fine else soft)[..., 0], soft[..., 2]
    brighter = lightness - floor[..., 0]
    lit = np.maximum(0.8 * brighter, 0.35 * brighter - (b - floor[..., 2])) > MIN_LIT
    share = np.clip(brighter / np.minimum(shade - floor, -1.0)[..., 0], 0.0, 1.0)
    expected = np.abs(floor[..., 2] + share * (shade - floor)[..., 2])
    pale = expected - np.abs(b) > np.maximum(PALER[0], PALER[1] * expected)
    far, yellow = haze > FAR, floor[..., 2] > YELLOW
    near = np.median(floor[:, -LOWEST:, 0, 0])
    dark = np.minimum(near, floor[..., 0]) - lightness > MIN_DARK
    dark &= far | ~yellow & (share < SHADOW_SHARE)
    flat = np.hypot(*np.gradient(soft[..., 0], axis=(1, 2))) < STEEP
    dark &= ndimage.binary_dilation(_opened(dark & flat, 3), np.ones((1, 5, 5)))
    return _opened((lit | _opened(pale, 3) | dark) & _is_pale(lab), 2)


def _opened(mask, side):
    return ndimage.binary_opening(mask, np.ones((1, side, side)))


def _in_shade(floor):
    """(CIE Lab [T,H,1,3] of shadows on a floor that pales into the horizon, how much of it lies
    over the floor [T,H,1])."""
    linear = to_linear(floor)
    near = np.median(linear[:, -LOWEST:], axis=(0, 1))
    haze = np.clip((linear - near)[..., 2] / np.maximum(HORIZON - near, 1e-3)[..., 2], 0.0, 1.0)
    shade = linear - (1 - haze)[..., None] * near * (1 - np.array(IN_SHADE))
    return to_lab(shade.clip(0.0)), haze


def _is_pale(lab):
    return (np.hypot(lab[..., 1], lab[..., 2]) < MIN_CHROMA) & (lab[..., 2] > MIN_WHITE_B)


def _sunlit(lab, difference, taken):
    """[T] share that is as bright as white is in the sun."""
    bright = (lab[..., 0] > MIN_LIGHTNESS) & (difference[..., 0] > MIN_LIGHTNESS_GAIN)
    return (bright & _is_pale(lab) & ~taken).mean((1, 2))


def _unlike_floor(difference, fine=False):
    """Lit and shaded faces; `fine` ones may be as narrow as a pixel."""
    lightness, _, b = np.moveaxis(difference, -1, 0)
    lit = np.maximum(0.8 * lightness, 0.35 * lightness - b)
    lit = (lit if fine else ndimage.median_filter(lit, (1, 3, 3))) > MIN_WHITE
    shaded = (lightness < -MIN_WHITE) & (lightness > SHADOW)
    return lit | ndimage.binary_opening(shaded, np.ones((1, 5, 5)))


def _is_tinted(difference):
    """Faces that are about as bright as the floor."""
    even = ndimage.median_filter(difference, (1, EVEN, EVEN, 1))
    near_shadow = ndimage.minimum_filter(difference[..., 0], (1, 3, 3)) < SHADED
    tinted = np.square(even / VARIES).sum(-1) > TINTED
    return tinted & (difference[..., 0] > -MIN_WHITE) & ~near_shadow
