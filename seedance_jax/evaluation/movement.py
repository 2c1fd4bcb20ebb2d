"""How the camera of a clip of the synthetic world moves, and where the main object goes.

The camera shows in the background, what is left when the object and its shadow are cut out. A pan
shifts the floor's faint texture sideways; a zoom stretches the rows of pixels, the horizon among
them, about the middle. Both are found by trying: all amounts, of which the one counts that makes
early and late frames agree. The object's way is then measured before the standing scene.
"""

import numpy as np
from scipy import ndimage

from seedance_jax.evaluation import judges

# Amounts over the whole clip: pans in widths of the frame (positive: the scene goes to the right),
# zooms in log focal length. Rendered ones are 0.14 to 0.34 and 0.22 to 0.37.
PANS = np.linspace(-0.4375, 0.4375, 29)
ZOOMS = np.linspace(-0.5, 0.5, 41)
MIN_PAN = 0.08
MIN_ZOOM = 0.12
# A move must lower the misfit to so much of that of standing still: noise agrees with nothing.
MAX_MISFIT = 0.9
# Frames that are compared lie so many clips apart. Near ones differ too little, and an autoencoder
# may hold faint texture still for four frames.
LAGS = (0.5, 0.75)

# Pixels whose lightness is so far from that of their row (Lab units) are object or shadow, and so
# is what lies within GROWTH heights of them: the shade about the object moves with it.
MAX_ODDITY = 4.0
GROWTH = 5 / 64

# Ways of the object before the scene, in widths of the frame; and what is aside, by its way aside
# over its way down: thrown objects 1.1 or more, dropped ones 1.0 at most.
MIN_WAY = 0.1
MIN_SLOPE = 1.0

DIRECTIONS = ("left", "right", "down")
MOVES = ("static", "pan left", "pan right", "zoom in", "zoom out")


def camera_path(frames, outline):
    """(pan, zoom) over a clip uint8 [T,H,W,3]; one of the two at most, a small one counts as 0.

    Args:
      outline: mask [T,H,W] of the main object.
    """
    images, weight = _background(frames, outline)
    rows = np.concatenate([weight.mean(-1)[None], (images * weight).mean(-1)])
    profile = rows[1:] / np.maximum(rows[0], 1e-6)  # [C, T, H]
    zoom = _best(profile, rows[0] > 0.1, ZOOMS, _stretched)
    if abs(zoom) >= MIN_ZOOM:
        return 0.0, zoom
    total = np.maximum(weight.sum((0, 2), keepdims=True), 1)
    level = (images * weight).sum((1, 3), keepdims=True) / total
    soft = [
        ndimage.gaussian_filter(part, (0, 1, 1)) for part in [weight, *(images - level) * weight]
    ]
    texture = np.stack(soft[1:]) / np.maximum(soft[0], 1e-3)
    pan = _best(texture, weight > 0, PANS, _shifted)
    return (pan, 0.0) if abs(pan) >= MIN_PAN else (0.0, 0.0)


def _background(frames, outline):
    """(lightness and b of Lab [2,T,H,W], which pixels [T,H,W] are background: 1.0 or 0.0)."""
    lab = judges.to_lab((frames / 255.0) ** judges.GAMMA)
    odd = np.abs(lab[..., 0] - np.median(lab[..., 0], axis=2, keepdims=True)) > MAX_ODDITY
    side = 2 * round(GROWTH * frames.shape[1]) + 1
    odd = ndimage.maximum_filter(odd | outline, (1, side, side))
    return np.moveaxis(lab[..., [0, 2]], -1, 0), 1.0 - odd


def _shifted(place, amount):
    """Where what is at `place`, in widths from the middle, is after that part of a pan."""
    return place + amount


def _stretched(place, amount):
    return place * np.exp(amount)


def _best(images, known, amounts, moved):
    """Which of the amounts over the clip makes frames of [C,T,...,X] agree best along X; 0 if none
    does so much better than 0."""
    misfit = {amount: _misfit(images, known, amount, moved) for amount in (0.0, *amounts)}
    best = min(misfit, key=misfit.get)
    return float(best) if misfit[best] < MAX_MISFIT * misfit[0.0] else 0.0


def _misfit(images, known, amount, moved):
    """Squared difference of early and late frames over their squares; 1 if nothing is known."""
    last, length = known.shape[0] - 1, known.shape[-1]
    middle = (np.arange(length) + 0.5) / length - 0.5
    error, power = 0.0, 0.0
    for lag in sorted({max(1, int(share * (last + 1))) for share in LAGS}):
        share = amount * lag / (2 * last)
        early, known_early = _sampled(images[:, :-lag], known[:-lag], moved(middle, -share))
        late, known_late = _sampled(images[:, lag:], known[lag:], moved(middle, share))
        both = known_early & known_late
        early, late = early[:, both], late[:, both]
        mean = (early + late).mean(1, keepdims=True) / 2 if both.any() else 0.0
        error += ((early - late) ** 2).sum()
        power += ((early - mean) ** 2).sum() + ((late - mean) ** 2).sum()
    return error / power if power > 0 else 1.0


def _sampled(images, known, place):
    """Images [C,T,...,X] between pixels, at places [X] in widths from the middle; and which are
    known."""
    length = known.shape[-1]
    position = (place + 0.5) * length - 0.5
    inside = (position >= 0) & (position <= length - 1)
    low = np.clip(np.floor(position).astype(int), 0, length - 2)
    share = position - low
    values = images[..., low] * (1 - share) + images[..., low + 1] * share
    return values, known[..., low] & known[..., low + 1] & inside


def camera_move(path):
    """The word of `MOVES` for a path of `camera_path`."""
    pan, zoom = path
    if zoom:
        return "zoom in" if zoom > 0 else "zoom out"
    return ("pan left" if pan > 0 else "pan right") if pan else "static"


def direction(outline, path):
    """Where the main object goes, a word of `DIRECTIONS`; None if nowhere.

    Before the scene, not the frame: the camera's path is taken out. What is thrown aside rises as
    well as falls; what is dropped may tumble aside a little, or bounce.
    """
    if not outline.any():
        return None
    aside, down, fall = _way(outline, path)
    if abs(aside) >= max(MIN_WAY, MIN_SLOPE * down):
        return "right" if aside > 0 else "left"
    return "down" if fall >= MIN_WAY else None


def _way(outline, path):
    """(right and down, from the first to the last frame; longest fall) in widths of the frame."""
    seen = np.flatnonzero(outline.any((1, 2)))
    height, width = outline.shape[1:]
    pan, zoom = path
    time = seen / (len(outline) - 1) - 0.5
    center = np.array([ndimage.center_of_mass(outline[number]) for number in seen])
    place = (center[:, ::-1] + 0.5 - [width / 2, height / 2]) / width
    x, y = (place * np.exp(-zoom * time)[:, None] - np.outer(pan * time, [1, 0])).T
    return x[-1] - x[0], y[-1] - y[0], (y - np.minimum.accumulate(y)).max()
