"""Does the clip show what its caption will say?

Each event's claim is tested on the simulation and on what the camera sees.
"""

import dataclasses

import numpy as np

from seedance_jax.data.world import render
from seedance_jax.data.world.camera import Cameras, Rejected
from seedance_jax.data.world.physics import Motion
from seedance_jax.data.world.scene import CameraPlan, Scene

MAIN_AREA = 0.025  # of a square on the frame's shorter side; a disc of 18 % of its height
PREVIEW = 40  # pixels of the preview's shorter side
REBOUND_SPEED = 1.1  # m/s upwards after a contact: 6 cm high, a pixel or two at 64


@dataclasses.dataclass
class Shot:
    """A simulated scene, or a part of it, filmed; with a preview of what is seen in T frames."""

    scene: Scene
    motion: Motion
    plan: CameraPlan
    cameras: Cameras
    area: np.ndarray  # [T, K] visible share of a square as wide as the frame's shorter side
    visibility: np.ndarray  # [T, K] visible share of the object's own silhouette in the frame

    @property
    def last(self) -> int:
        return len(self.area) - 1

    @property
    def until(self) -> int:
        """Frame up to which the main object's way counts: it meets another, or the clip ends."""
        hit = self.touched(1, 2)
        return self.last if hit is None else max(hit, 1)

    def part(self, start: int, stop: int) -> "Shot":
        """The frames from `start` to, and without, `stop`."""
        return dataclasses.replace(
            self,
            motion=self.motion.part(start, stop),
            cameras=self.cameras.part(start, stop),
            area=self.area[start:stop],
            visibility=self.visibility[start:stop],
        )

    def displacement(self, k: int) -> np.ndarray:
        """Way [3] of object k up to `until` in the first camera's axes (right, down, forward)."""
        way = self.motion.position[self.until, k] - self.motion.position[0, k]
        return self.cameras.rotation[0] @ way

    def image_shift(self, k: int) -> np.ndarray:
        """Way (x, y) of object k in the image, camera motion included; 1 = the shorter side."""
        pixels, _ = self.cameras.project(self.motion.position[:, k])
        return (pixels[self.until] - pixels[0]) / min(self.cameras.height, self.cameras.width)

    def touched(self, a: int, b: int) -> int | None:
        """The first frame after slots a and b (0 = floor, k = object k) touched, or None."""
        frames = np.flatnonzero(self.motion.contacts[: self.last + 1, a, b])
        return frames[0] if len(frames) else None


def preview(scene: Scene, motion: Motion, plan: CameraPlan, cameras: Cameras) -> Shot:
    """Traces a small version of the shot."""
    scale = PREVIEW / min(cameras.height, cameras.width)
    small = cameras.resized(round(cameras.height * scale), round(cameras.width * scale))
    things = render.make_things(scene, motion.position, motion.rotation)
    _, seen, alone = render.trace(things, small, len(motion.position) - 1)
    visible = visible_pixels(seen, len(scene.parts))
    return Shot(scene, motion, plan, cameras, visible / PREVIEW**2, visible / np.maximum(alone, 1))


def visible_pixels(seen: np.ndarray, count: int) -> np.ndarray:
    """Pixels [T, K] of each object in `seen` [T, H, W]."""
    return np.stack([(seen == k).sum(axis=(1, 2)) for k in range(count)], -1)


def direction(shot: Shot, k: int) -> str:
    """Where object k goes before the camera: left, right, towards or away; "" if nowhere."""
    right, _, forward = shot.displacement(k)
    if max(abs(right), abs(forward)) < 0.25:
        return ""
    if abs(right) >= abs(forward):
        return "right" if right > 0 else "left"
    return "away" if forward > 0 else "towards"


def rebounds(shot: Shot, k: int) -> int:
    """How often object k leaves the floor upwards, visibly, before the last frame."""
    steps = len(shot.motion.on_floor) - 1
    end = steps * (shot.last - 0.5) / len(shot.motion.position[1:])
    touch, rise = shot.motion.on_floor[:, k], shot.motion.rise[:, k]
    leaves = touch[:-1] & ~touch[1:] & (rise[1:] > REBOUND_SPEED)
    return int((np.flatnonzero(leaves) < end).sum())


def lands(shot: Shot) -> bool:
    """Whether object 1 is seen to touch the floor, after the first frame and before the last."""
    touch = shot.touched(0, 1)
    return touch is not None and 1 <= touch < shot.last


def in_the_air(shot: Shot) -> bool:
    """Whether object 1, if it is a ball, is ever seen well above the floor."""
    body = shot.scene.bodies[0]
    height = shot.motion.position[: shot.last + 1, 0, 2].max() - body.half[2]
    return body.shape == "ball" and height > 0.06


def turned(shot: Shot) -> float:
    """Degrees between the first and the last pose of object 1."""
    first, last = shot.motion.rotation[0, 0], shot.motion.rotation[shot.last, 0]
    return float(np.degrees(np.arccos(np.clip((np.trace(first.T @ last) - 1) / 2, -1, 1))))


def stirs(shot: Shot) -> bool:
    """Whether object 1 goes or turns anywhere at all."""
    way = np.linalg.norm(shot.motion.position[shot.last, 0] - shot.motion.position[0, 0])
    return way > 0.08 or turned(shot) > 15


def tilt(shot: Shot, k: int, frame: int) -> float:
    """Cosine between the own z axis of object k and the vertical."""
    return float(shot.motion.rotation[frame, k, 2, 2])


def _require(condition, reason):
    if not condition:
        raise Rejected(reason)


def _moves_visibly(shot, k):
    """The image agrees with the word for the direction, in spite of the camera's own motion."""
    word = direction(shot, k)
    _require(word, "hardly moves")
    shift = shot.image_shift(k)[0]
    if word in ("left", "right"):
        right, _, forward = shot.displacement(k)
        _require(abs(right) > 1.3 * abs(forward), "moves diagonally")
        _require(shift * (1 if word == "right" else -1) > 0.1, "moves against its caption")
    else:
        growth = shot.area[-1, k] / max(shot.area[0, k], 1e-6)
        _require(growth > 1.15 if word == "towards" else growth < 0.87, "size hides the motion")


def check_drop(shot: Shot) -> None:
    for k in range(len(shot.scene.bodies)):
        landing = shot.touched(0, k + 1)
        _require(landing is not None and 1 <= landing < shot.last, "does not land in time")


def check_roll(shot: Shot) -> None:
    _moves_visibly(shot, 0)


def check_slide(shot: Shot) -> None:
    _moves_visibly(shot, 0)
    _require(tilt(shot, 0, shot.last) > 0.95, "falls over")


def check_throw(shot: Shot) -> None:
    landing = shot.touched(0, 1)
    _require(landing is not None and 2 <= landing < shot.last, "does not land in time")
    _require(direction(shot, 0) in ("left", "right"), "tumbles off its course")
    _moves_visibly(shot, 0)


def check_spin(shot: Shot) -> None:
    _require(abs(shot.motion.velocity[shot.last, 0, 5]) > 0.8, "stops spinning")


def check_collide(shot: Shot) -> None:
    hit = shot.touched(1, 2)
    _require(hit is not None and 2 <= hit < shot.last - 1, "does not hit in time")
    _moves_visibly(shot, 0)
    pushed = shot.motion.position[shot.last, 1] - shot.motion.position[0, 1]
    _require(np.linalg.norm(pushed) > 0.15, "the target does not move")
    _require((shot.visibility[:hit, 1] > 0.5).all(), "the target is hidden")


def check_topple(shot: Shot) -> None:
    hit = shot.touched(1, 2)
    _require(hit is not None and 2 <= hit < shot.last - 1, "does not hit in time")
    _moves_visibly(shot, 0)
    _require(abs(tilt(shot, 1, shot.last)) < 0.4, "the pillar does not fall")


def check_occlude(shot: Shot) -> None:
    seen = shot.visibility[:, 0]
    hidden = np.flatnonzero(seen < 0.12)
    _require(len(hidden) and seen[: hidden[0]].max(initial=0) > 0.9, "is not hidden")
    _require(seen[-1] > 0.8 and seen[0] > 0.8, "does not re-appear")
    _moves_visibly(shot, 0)


def check_push(shot: Shot) -> None:
    hit, landing = shot.touched(1, 2), shot.touched(0, 2)
    _require(hit is not None and 1 <= hit < shot.last, "does not hit in time")
    _require(landing is not None and hit < landing < shot.last, "does not fall in time")
    _require(shot.touched(0, 1) is None or shot.touched(0, 1) > hit, "falls off itself")
    _moves_visibly(shot, 0)
    _require((shot.visibility[:hit, 1] > 0.5).all(), "what is pushed is hidden")


def check_break(shot: Shot) -> None:
    landing = shot.touched(0, 1)
    _require(landing is not None and 2 <= landing < shot.last - 2, "does not break in time")
    pieces = shot.motion.position[shot.last, 1:, :2]
    spread = np.linalg.norm(pieces - pieces.mean(0), axis=1)
    _require(np.median(spread) > 0.25, "the fragments stay together")
    _require((shot.area[shot.last, 1:] > 0).mean() > 0.6, "the fragments hide each other")


def check_rest(shot: Shot) -> None:
    return None


CHECKS = {
    "push": check_push,
    "break": check_break,
    "rest": check_rest,
    "drop": check_drop,
    "roll": check_roll,
    "slide": check_slide,
    "throw": check_throw,
    "spin": check_spin,
    "collide": check_collide,
    "topple": check_topple,
    "occlude": check_occlude,
}


def check(shots: list[Shot]) -> None:
    """Raises Rejected unless the objects are seen well and the event is seen to take place."""
    for shot in shots:
        _require(np.isfinite(shot.motion.position).all(), "the simulation diverged")
        _check_view(shot)
    if len(shots) == 1:
        CHECKS[shots[0].scene.event](shots[0])
    else:
        _check_cut(*shots)


# Event -> (least area of the main object, share of its frames), if not the usual.
VIEWS = {"occlude": (0.01, 0.5), "push": (0.01, 0.85)}


def _check_view(shot):
    least, share = VIEWS.get(shot.scene.event, (MAIN_AREA, 0.85))
    there = shot.motion.exists[:-1, 0]
    _require((shot.area[there, 0] > least).mean() >= share, "the main object is hard to see")
    for k in range(1, len(shot.scene.bodies)):
        seen = (shot.area[:, k] > 0.01) & (shot.visibility[:, k] > 0.4)
        _require(seen.mean() >= 0.6, "another object is hard to see")


def _check_cut(first, second):
    """The event begins in the first shot; whatever the second one says of a direction is seen."""
    if first.scene.event == "throw":
        _require(direction(first, 0) in ("left", "right"), "tumbles off its course")
        _moves_visibly(first, 0)
        _require(lands(first) or lands(second), "does not land in time")
    else:
        CHECKS[first.scene.event](first)
    if direction(second, 0) or second.scene.event == "roll":
        _moves_visibly(second, 0)
    if second.scene.event in ("slide", "spin"):
        _require(tilt(second, 0, second.last) > 0.95, "falls over")
    if second.scene.event == "spin":
        check_spin(second)
