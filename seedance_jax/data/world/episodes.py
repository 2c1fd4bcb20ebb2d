"""Long scenes: episodes of 10 to 60 s about a ball, its look-alike and a third object.

Objects move of their own accord, one after the other, each in a lane of its own. A screen passes
before the ball and hides it, the ball leaves the picture and comes back, the camera looks away and
comes back. The look-alike has the colour of the ball and another size, or stripes.
"""

import dataclasses
import functools
import math

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.camera import Rejected, Unfilmable, aim
from seedance_jax.data.world.checks import Shot, preview
from seedance_jax.data.world.descriptions import hidden_intervals
from seedance_jax.data.world.paths import AXES, Keyframe
from seedance_jax.data.world.physics import simulate
from seedance_jax.data.world.quantities import EARTH
from seedance_jax.data.world.scene import Act, Body, CameraPlan, Draw, Scene, resting, turn

ATTEMPTS = 50
LANES = (0.0, 0.95, 1.75)  # metres behind the first
SCREEN_LANE = -0.85
SLOWING = 0.8  # m/s^2 of a rolling ball
TARGET = (0.0, 0.6, 0.5)
HIDINGS = (0.5, 4.0)  # seconds that the screen stands before the ball
AWAY = 55.0  # degrees
# What comes to pass, in turns; a clip of 10 s sees the first few.
TURNS = ("hide", "act", "hide", "other", "leave", "hide", "away", "act", "hide", "other")


@dataclasses.dataclass
class Script:
    """What a long scene is to show, while it is written.

    Attributes:
      time: seconds up to which it is written; half: metres from the middle to the picture's edge.
      x: where the ball is by then; screen: path of the screen; chapters: what is told.
    """

    draw: Draw
    bodies: list
    half: float
    eye: np.ndarray
    time: float = 0.4
    x: float = 0.0
    acts: list = dataclasses.field(default_factory=list)
    screen: list = dataclasses.field(default_factory=list)
    looks: list = dataclasses.field(default_factory=list)  # (time, degrees of pan)
    chapters: list = dataclasses.field(default_factory=list)

    def tell(self, kind: str, start: float, body: int = 0, **more: float | str) -> None:
        """Writes down a chapter that ends now."""
        chapter = {"kind": kind, "start": start, "stop": self.time, "body": body}
        self.chapters.append(chapter | more)

    def roll(self, x: float, start: float) -> float:
        """The ball rolls to x; when it is there."""
        way, self.x = abs(x - self.x), x
        self.acts.append(Act(start, 0, "roll", (x, LANES[0])))
        return start + math.sqrt(2 * way / SLOWING) + 0.2


def shoot(shared: Draw) -> tuple:
    """(the one shot of a long clip, number of the attempt)."""
    split, index, _ = shared.place
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return [write_and_film(Draw((split, index, attempt), shared.spec))], attempt
        except Rejected as error:
            reason = error
    raise Unfilmable(
        f"no long clip for {split=} {index=} {shared.spec} in {ATTEMPTS} attempts; the last one "
        f"failed because: {reason}"
    )


def write_and_film(draw: Draw) -> Shot:
    """One attempt at a long clip. Raises Rejected."""
    spec = draw.spec
    elevation, view_height = draw.uniform(15, 23), draw.uniform(2.9, 3.3)
    plan = CameraPlan("static", 0.0, draw.azimuth, elevation, 1.6, view_height)
    target = turned(np.array(TARGET), plan.azimuth)
    frame = functools.partial(
        aim, target=target, view_height=plan.view_height, size=(spec.height, spec.width)
    )
    eye = turned(frame(plan, count=3).eye[0], -plan.azimuth)
    half = plan.view_height / 2 * spec.width / min(spec.height, spec.width)
    script = Script(draw, _bodies(draw), half, eye)
    _write(script)
    plan = dataclasses.replace(plan, path=_path(script), kind="episodes", said=("moves",))
    plan = dataclasses.replace(plan, move="path") if script.looks else plan
    scene = _scene(script, plan)
    motion = simulate(scene, spec.num_frames, spec.fps)
    if not np.isfinite(motion.position).all():
        raise Rejected("the simulation diverged")
    shot = preview(scene, motion, plan, frame(plan, count=spec.num_frames + 1))
    _check(shot, spec.fps)
    return shot


def turned(place: np.ndarray, azimuth: float) -> np.ndarray:
    """A place [3] before a camera of azimuth 0, as before one of another azimuth."""
    c, s = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    return np.array([c * place[0] - s * place[1], s * place[0] + c * place[1], place[2]])


def _bodies(draw):
    """The ball, its look-alike, a third object and the screen; lanes along x."""
    draw.gravity = draw.note("gravity", draw.uniform(*EARTH))
    ball = draw.body(("ball",), size="small", textures=("solid", "striped"))
    alike = dataclasses.replace(ball)
    if draw.rng.random() < 0.5:
        alike.size, factor = "large", draw.uniform(1.45, 1.6)
        alike.half = ball.half * factor
    else:
        alike.texture = "solid" if ball.texture == "striped" else "striped"
    third = draw.body(("cube", "cylinder"), size="small")
    for body in (ball, alike):
        body.rolling = 1.4 * SLOWING / draw.gravity * body.half[0]
    third.friction = 0.4
    color = draw.choice([name for name in draw.slice.colors if name not in draw.used_colors])
    half = np.array(vocabulary.SCENERY["screen"])
    screen = Body("screen", color, "solid", "large", half, resting(half[2]), static=True)
    bodies = [ball, alike, third, screen]
    side = draw.side()
    for body, lane, sign in zip(bodies, LANES, (1.0, side, -side), strict=False):
        body.position = resting(body.half[2], sign * draw.uniform(0.2, 0.9), lane)
    return bodies


def _write(script):
    """Episodes, in turns, as long as there is time."""
    draw, end = script.draw, script.draw.duration - 0.5
    script.x = draw.uniform(-0.8, 0.8)
    script.bodies[0].position[0] = script.x
    off = script.half + 1.2
    script.screen = [(0.0, draw.side() * off)]
    number, skipped = 0, 0
    while skipped < len(TURNS):
        kind = TURNS[number % len(TURNS)]
        before = script.time, script.x
        lists = script.acts, script.screen, script.looks, script.chapters
        lengths = [len(part) for part in lists]
        EPISODES[kind](script)
        fits = script.time <= end
        if fits:
            script.time += draw.uniform(0.2, 0.6)
        else:  # as if it had not been written
            script.time, script.x = before
            for part, length in zip(lists, lengths, strict=True):
                del part[length:]
        number, skipped = number + 1, 0 if fits else skipped + 1


def _hide(script):
    """The screen comes, stands before the ball and goes on; the ball may roll out from behind."""
    draw, start, off = script.draw, script.time, script.half + 1.2
    longest = min(HIDINGS[1], draw.duration / 6)
    hold = HIDINGS[0] * (longest / HIDINGS[0]) ** draw.rng.random()
    share = (SCREEN_LANE - script.eye[1]) / (LANES[0] - script.eye[1])
    place = script.eye[0] + (script.x - script.eye[0]) * share
    side = math.copysign(1.0, script.screen[-1][1])
    speed = draw.uniform(2.5, 4.0)
    there = start + abs(place - side * off) / speed
    script.screen += [(start, side * off), (there, place)]
    gone = there + hold
    if draw.rng.random() < 0.35:  # it comes out by itself
        gone = max(gone, script.roll(_across(script), there + hold))
    script.time = gone + abs(place + side * off) / speed
    script.screen += [(gone, place), (script.time, -side * off)]
    script.tell("hide", start, seconds=hold)


def _across(script):
    """A place for the ball on the other side of the picture."""
    side = -math.copysign(1.0, script.x)
    return side * script.draw.uniform(0.35, min(1.0, script.half - 0.5))


def _act(script):
    start, x = script.time, _across(script)
    side = "left" if x < script.x else "right"
    script.time = script.roll(x, start)
    script.tell("roll", start, side=side)


def _leave(script):
    """The ball rolls out of the picture and, some time later, back."""
    draw, start = script.draw, script.time
    side = draw.side()
    out = script.roll(side * (script.half + 0.9), start)
    script.time = script.roll(side * draw.uniform(0.2, 0.8), out + draw.uniform(0.5, 2.0))
    script.tell("leave", start, side="left" if side < 0 else "right")


def _other(script):
    """The look-alike rolls, or the third object hops, slides or spins."""
    draw, start = script.draw, script.time
    kind = draw.choice(("roll", "hop", "slide", "spin"))
    if kind == "roll":
        x = draw.uniform(-1.0, 1.0)
        script.acts.append(Act(start, 1, "roll", (x, LANES[1])))
        script.time += 2.0
        script.tell("roll", start, body=1)
        return
    x, turning = draw.uniform(-0.8, 0.8), draw.side() * 5.0 * (kind == "spin")
    height = draw.uniform(0.25, 0.5) if kind == "hop" else 0.0
    script.acts.append(Act(start, 2, kind, (x, LANES[2]), height, turning))
    script.time += 1.5
    script.tell(kind, start, body=2)


def _away(script):
    """The camera pans until the scene is out of sight, waits and comes back."""
    draw, start = script.draw, script.time
    turn_time, side = draw.uniform(1.0, 1.8), draw.side()
    wait = draw.uniform(0.5, 2.0)
    moments = np.cumsum([start, turn_time, wait, turn_time])
    angle = side * AWAY * max(1.0, script.half / 1.7)
    script.looks += list(zip(moments.tolist(), (0.0, angle, angle, 0.0), strict=True))
    script.time = float(moments[-1])
    script.tell("away", start, side="left" if side < 0 else "right", seconds=wait)


EPISODES = {"hide": _hide, "act": _act, "leave": _leave, "other": _other, "away": _away}


def _path(script):
    """Keyframes of the camera, in shares of the clip."""
    zero = dict.fromkeys(AXES, 0.0)
    frames = [Keyframe(0.0, zero)]
    for time, pan in script.looks:
        frames.append(Keyframe(time / script.draw.duration, zero | {"pan": pan}, "smooth"))
    return (*frames, Keyframe(1.0, zero))


def _scene(script, plan):
    """The scene, turned to where its camera stands."""
    draw, bodies = script.draw, script.bodies
    place = functools.partial(turned, azimuth=plan.azimuth)
    for body in bodies:
        body.position = place(body.position)
        body.quaternion = turn((0, 0, 1), math.radians(plan.azimuth))
    height = bodies[3].half[2]
    bodies[3].path = tuple(
        (time, place(np.array([x, SCREEN_LANE, height]))) for time, x in script.screen
    )
    bodies[3].position = bodies[3].path[0][1]
    acts = [
        dataclasses.replace(act, target=tuple(place(np.array([*act.target, 0.0]))[:2]))
        for act in script.acts
    ]
    return Scene(
        event="episodes",
        bodies=bodies,
        floor=draw.choice(draw.slice.floors),
        time_of_day=draw.choice(draw.slice.times_of_day),
        sun_azimuth=draw.azimuth + draw.side() * draw.uniform(25, 80),
        gravity=draw.gravity,
        cameras=[plan],
        numbers=draw.numbers,
        ranges=draw.ranges,
        outside=draw.outside,
        acts=acts,
        chapters=script.chapters,
    )


def _check(shot: Shot, fps: float) -> None:
    """Every hiding hides, what rolls to a side does, the ball is seen before and after, and the
    others at times."""
    hidden = [(a / fps, b / fps) for k, a, b in hidden_intervals([shot]) if not k]
    for chapter in shot.scene.chapters:
        if chapter["kind"] == "hide":
            within = [b - a for a, b in hidden if a < chapter["stop"] and b > chapter["start"]]
            if sum(within) < 0.8 * chapter["seconds"] - 1 / fps:
                raise Rejected("the screen does not hide the ball")
        if chapter["kind"] == "roll" and "side" in chapter and _way(shot, chapter, fps) < 1:
            raise Rejected("the ball hardly rolls to its side")
    if (shot.visibility[[0, -1], 0] < 0.7).any():
        raise Rejected("the ball is not seen in the beginning and in the end")
    if ((shot.visibility[:, :3] > 0.9).mean(0) < 0.1).any():
        raise Rejected("an object is hardly ever seen whole")


def _way(shot, chapter, fps):
    """Radii by which what a chapter is about goes to the chapter's side."""
    k, last = chapter["body"], shot.last
    first, stop = (min(round(fps * chapter[name]), last) for name in ("start", "stop"))
    way = shot.motion.position[stop, k] - shot.motion.position[first, k]
    right = shot.cameras.rotation[0, 0] @ way / shot.scene.bodies[k].half[0]
    return right if chapter["side"] == "right" else -right
