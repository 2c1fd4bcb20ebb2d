"""Which shape an object of a clip of the synthetic world has, by its outline.

An outline is compared with those of all shapes in many poses: the shape wins whose best poses fit
best, over all frames. Nothing is learned; the shapes are those of the world's vocabulary.

White objects are hard: their faces in the shade are as bright as the floor, so that the outline
may lack them, and a ball or a cube passes for a cylinder.
"""

import functools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, spatial
from skimage import draw

from seedance_jax.data.world.vocabulary import SHAPES

# Outlines are scaled to fill a quarter of a grid of so many cells a side.
GRID = 32
POSES = 400
# Metres from the camera to the object over half the object's extent: perspective is slight.
DISTANCE = 8.0
# An object of fewer pixels of the frame has no shape to tell.
MIN_SHARE = 0.01
# Only a ball has a single outline and a cube has fewer than a cylinder, which bends to all. In
# units of the mean log of the misfit; chosen on training clips.
BONUS = {"ball": 0.3, "cube": 0.1, "cylinder": 0.0, "pillar": 0.0}
LEAST_MISFIT = 1e-4


def shape_scores(masks: Sequence[np.ndarray]) -> dict[str, float] | None:
    """{shape: how well it explains masks [T,H,W]}, higher is better; None if nothing is to see.

    Frames in which the object touches the border count for nothing.
    """
    whole = [mask for mask in masks if mask.mean() >= MIN_SHARE and not _touches_border(mask)]
    if not whole:
        return None
    seen = np.stack([_normalized(mask) for mask in whole])
    return {
        shape: float(bonus - np.log(1 - (seen @ poses(shape).T).max(1) + LEAST_MISFIT).mean())
        for shape, bonus in BONUS.items()
    }


def _touches_border(mask):
    return mask[[0, -1]].any() or mask[:, [0, -1]].any()


def _normalized(mask):
    """An outline [H,W] as a unit vector [GRID^2]: centred, of fixed area, softened."""
    center, scale = ndimage.center_of_mass(mask), 2 * np.sqrt(mask.sum()) / GRID
    cells = scale * (np.arange(GRID) + 0.5 - GRID / 2)
    places = np.meshgrid(center[0] + cells, center[1] + cells, indexing="ij")
    soft = ndimage.gaussian_filter(mask.astype(float), 0.5)
    return _unit(ndimage.gaussian_filter(ndimage.map_coordinates(soft, places, order=1), 0.7))


def _unit(image):
    return image.ravel() / np.linalg.norm(image)


@functools.cache
def poses(shape: str) -> np.ndarray:
    """Outlines [poses, GRID^2] of a shape, as `_normalized` makes them; a ball has one."""
    if shape == "ball":
        return _drawn(_ring(1.0, 1.0))[None]
    turns = np.random.default_rng(0).normal(size=(POSES, 4))
    turns = spatial.transform.Rotation.from_quat(turns).as_matrix()
    return np.stack([_drawn(_seen(_corners(shape) @ turn)) for turn in turns])


def _ring(x, y):
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([x * np.cos(angle), y * np.sin(angle)], -1)


def _corners(shape):
    """Points [N, 3] of which the shape is the hull."""
    x, y, z = SHAPES[shape]
    base = np.array([[-x, -y], [-x, y], [x, -y], [x, y]]) if shape == "cube" else _ring(x, y)
    return np.concatenate([np.pad(base, ((0, 0), (0, 1)), constant_values=h) for h in (-z, z)])


def _seen(points):
    """The polygon [N, 2] that is seen of a hull of points, from DISTANCE."""
    flat = points[:, :2] * DISTANCE / (DISTANCE - points[:, 2:])
    return flat[spatial.ConvexHull(flat).vertices]


def _drawn(polygon, samples=4):
    """A convex polygon [N, 2] as `_normalized` makes an outline."""
    following = np.roll(polygon, -1, axis=0)
    cross = polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]
    center = ((polygon + following) * cross[:, None]).sum(0) / (3 * cross.sum())
    corners = GRID / 2 * (1 + (polygon - center) / np.sqrt(abs(cross.sum()) / 2))
    fine = draw.polygon2mask((GRID * samples, GRID * samples), corners * samples)
    mask = fine.reshape(GRID, samples, GRID, samples).mean((1, 3))
    return _unit(ndimage.gaussian_filter(mask, 1.0))
