"""Optical flow between the frames of a shot, and the part of it that the camera causes.

Flow is measured on pictures of one size, whatever that of the clip, so that scores of clips of
several sizes can be compared.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

SIDE = 64  # pixels of the shorter side at which flow is measured
GRID = 4  # pixels between the points to which a homography is fitted
INLIER = 0.5  # pixels that a point of the background may be off
FARTHER = 1.5  # that the background may move, over the largest flow


class Camera(NamedTuple):
    """Known cameras of T frames, as in `schema.WORLD_CLIP`: x_camera = R x_world + t."""

    intrinsics: np.ndarray  # [T, 3, 3], pixels of the clip
    rotation: np.ndarray  # [T, 3, 3]
    translation: np.ndarray  # [T, 3]

    def at(self, frames: slice) -> "Camera":
        """Those of some of the frames."""
        return Camera(*(part[frames] for part in self))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV with one thread: its flow depends on their number, and processes share the cores."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def shrink(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Lightness uint8 [T, h, w] of frames uint8 [T, H, W, 3]; the shorter of h and w is `side`."""
    height, width = frames.shape[1:3]
    scale = side / min(height, width)
    size = max(round(width * scale), side), max(round(height * scale), side)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in grey])


def flows(grey: np.ndarray) -> np.ndarray:
    """Flow float32 [T-1, h, w, 2] (x, y), pixels, from each frame uint8 [T, h, w] to the next.

    By dense inverse search (arXiv:1603.03590), down to single pixels.
    """
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    with one_thread():
        return np.stack([search.calc(*pair, None) for pair in itertools.pairwise(grey)])


def homography_flow(flow: np.ndarray) -> np.ndarray:
    """The part [h, w, 2] of a flow [h, w, 2] that one homography explains: that of the camera.

    It is fitted by RANSAC to the most of the picture, so objects that fill more than about half of
    it are taken for the background. One that moves something much farther than anything was seen to
    move fits a few points and runs away between them: an affine map takes its place, or nothing.
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[GRID // 2 : height : GRID, GRID // 2 : width : GRID]
    points = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)
    most = FARTHER * np.linalg.norm(flow, axis=-1).max() + 1
    for fit in (_homography, _affine):
        matrix = fit(points, points + flow[y, x].reshape(-1, 2))
        moved = None if matrix is None else _moved(matrix, height, width)
        if moved is not None and np.linalg.norm(moved, axis=-1).max() <= most:
            return moved
    return np.zeros_like(flow)


def _homography(points, targets):
    return cv2.findHomography(points, targets, cv2.RANSAC, INLIER)[0]


def _affine(points, targets):
    options = {"method": cv2.RANSAC, "ransacReprojThreshold": INLIER}
    matrix, _ = cv2.estimateAffine2D(points, targets, **options)
    return None if matrix is None else np.concatenate([matrix, [[0.0, 0.0, 1.0]]])


def _moved(matrix, height, width):
    """The flow float32 [h, w, 2] of a homography."""
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    moved = cv2.perspectiveTransform(pixels.reshape(1, -1, 2), matrix)
    return (moved.reshape(pixels.shape) - pixels).astype(np.float32)


def known_flow(camera: Camera, size: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """What two known cameras make of a floor at z = 0 under a sky that is infinitely far.

    Args:
      camera: of two frames.
      size: (height, width) of the clip.
      shape: (h, w) of the flow.

    Returns flow float32 [h, w, 2], pixels.
    """
    scale = np.array([shape[1] / size[1], shape[0] / size[0]])
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    pixels = np.stack([x, y], -1)
    (inner, inner_next), (rotation, rotation_next) = camera.intrinsics, camera.rotation
    homogeneous = np.concatenate([pixels / scale, np.ones_like(pixels[..., :1])], -1)
    rays = homogeneous @ np.linalg.inv(inner).T @ rotation
    eye, eye_next = (-r.T @ t for r, t in zip(camera.rotation, camera.translation, strict=True))
    floor = rays[..., 2:] < 0
    depth = np.where(floor, -eye[2] / np.where(floor, rays[..., 2:], -1.0), 0.0)
    seen = np.where(floor, eye + rays * depth - eye_next, rays)
    image = seen @ rotation_next.T @ inner_next.T
    return (image[..., :2] / image[..., 2:] * scale - pixels).astype(np.float32)
