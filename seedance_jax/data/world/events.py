"""What happens: one function per event places the objects and sets them going.

An event returns its bodies, the main one first. Speeds and distances follow the duration of the
clip, so that the event is seen before the clip ends. Lengths are metres, times seconds.
"""

import math

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import LONGEST_FALL, Body, Draw, resting, turn

UPRIGHT = ("cube", "cylinder")


def drop(draw: Draw) -> list:
    """One to three objects fall side by side."""
    count = draw.choice({1: 0.55, 2: 0.3, 3: 0.15}) if draw.company else 1
    bodies = [
        draw.body(("ball", *UPRIGHT), size="" if count == 1 else "small") for _ in range(count)
    ]
    height = draw.graded("height", *_fall_heights(draw, 0.6, 1.1))
    edge = 0.0
    for body in bodies:
        lift = height if body is bodies[0] else height * draw.uniform(0.6, 1.0)
        x = edge + body.half[0]
        edge = x + body.half[0] + draw.uniform(0.12, 0.25)
        body.position = resting(body.half[2] + lift, x, draw.uniform(-0.15, 0.15))
        body.quaternion = (
            _tilted(draw) if body.shape != "ball" else turn((0, 0, 1), draw.uniform(0, 6.28))
        )
    return bodies


def roll(draw: Draw) -> list:
    """A ball or a lying cylinder rolls across the floor."""
    body = draw.body(("ball", "cylinder"), textures=_showing_rotation(draw))
    speed = draw.graded("speed", 1.0 / draw.duration, 1.6 / draw.duration)
    _set_rolling(body, _heading(draw), speed, speed * draw.duration / 2)
    return [body]


def slide(draw: Draw) -> list:
    """A cube or cylinder slides until friction stops it."""
    body = draw.body(UPRIGHT)
    if draw.nature.friction is None:
        stop = draw.pace * draw.uniform(0.75, 1.0)
        speed = draw.graded("speed", 2.0 / draw.pace, 3.2 / draw.pace)
        body.friction = speed / (draw.gravity * stop)
    else:
        body.friction = draw.note("friction", draw.nature.friction)
        speed, stop = _glide(draw, body.friction)
    heading = _heading(draw)
    body.position = resting(body.half[2], *(-heading[:2] * speed * stop / 4))
    body.velocity = tuple(heading * speed)
    body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    return [body]


def throw(draw: Draw) -> list:
    """An object flies in an arc and lands."""
    body = draw.body(("ball", *UPRIGHT))
    highest = _fall_heights(draw, 0.3, 0.6, share=0.3)
    apex = draw.graded("height", *highest)
    heading = _heading(draw, sideways_only=True)
    start = draw.uniform(0.15, 0.4) * min(1.0, highest[1] / 0.6)
    speed = draw.uniform(1.0, 1.6) / draw.pace
    body.position = resting(body.half[2] + start, *(-heading[:2] * speed * draw.pace / 2))
    body.velocity = (*(heading[:2] * speed), math.sqrt(2 * draw.gravity * apex))
    body.spin = tuple(draw.rng.normal(size=3) * 1.5)
    body.quaternion = _tilted(draw)
    body.restitution *= 0.8
    body.rolling = 0.04
    return [body]


def spin(draw: Draw) -> list:
    """An object turns on the spot about the vertical."""
    body = draw.body(("ball", *UPRIGHT), textures=("striped",))  # checks repeat too often
    fastest = min(6.0, 0.5 * draw.spec.fps)  # rad/s; half a radian per frame shows which way
    body.spin = (0.0, 0.0, draw.side() * draw.graded("spin", fastest / 2, fastest))
    body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    body.friction = 0.015 * abs(body.spin[2]) * body.half[0] / draw.duration  # slows it by a third
    return [body]


def collide(draw: Draw) -> list:
    """A ball rolls into an object at rest."""
    ball = draw.body(("ball",), textures=_showing_rotation(draw))
    target = draw.body(("ball", *UPRIGHT), size="small")
    speed = draw.graded("speed", 1.1 / draw.pace, 1.7 / draw.pace)
    heading = _heading(draw, sideways_only=True)
    gap = ball.half[0] + target.half[0] + speed * draw.pace * draw.uniform(0.3, 0.45)
    _set_rolling(ball, heading, speed, gap)
    ball.rolling = 0.3 * ball.half[0] * speed / (draw.gravity * draw.pace)
    target.position = resting(target.half[2], 0.0, draw.uniform(-0.06, 0.06))
    target.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    target.friction, target.rolling = speed**2 / (0.8 * draw.gravity), 0.01  # slides some 0.4 m
    return [ball, target]


def topple(draw: Draw) -> list:
    """A ball rolls into a pillar and knocks it over."""
    ball = draw.body(("ball",), textures=_showing_rotation(draw))
    pillar = draw.body(("pillar",), size="large")
    speed = draw.graded("speed", 2.0 / draw.pace, 2.6 / draw.pace)
    gap = ball.half[0] + pillar.half[0] + speed * draw.pace * draw.uniform(0.18, 0.27)
    _set_rolling(ball, _heading(draw, sideways_only=True), speed, gap)
    ball.rolling = 0.8 * ball.half[0] * speed / (draw.gravity * draw.pace)
    ball.density = 500.0
    pillar.position = resting(pillar.half[2])
    pillar.friction = 0.8
    return [ball, pillar]


def occlude(draw: Draw) -> list:
    """A ball rolls behind a standing object and comes out on the other side."""
    ball = draw.body(("ball",), size="small", textures=_showing_rotation(draw))
    screen = draw.body(UPRIGHT, size="large")
    screen.static = True
    speed = draw.graded("speed", 1.9 / draw.duration, 2.3 / draw.duration)
    _set_rolling(ball, np.array([draw.side(), 0.0, 0.0]), speed, speed * draw.duration / 2)
    screen.position = resting(screen.half[2], 0.0, -1.5 * screen.half[0] - ball.half[0])
    return [ball, screen]


def push(draw: Draw) -> list:
    """A ball rolls along a ledge and pushes an object off it, which falls to the floor."""
    ball = draw.body(("ball",), size="small", textures=_showing_rotation(draw))
    other = draw.body(UPRIGHT, size="small")
    ledge = _scenery(draw, "ledge")
    top, along = 2 * ledge.half[2], _heading(draw, sideways_only=True)
    angle = math.atan2(along[1], along[0])
    ledge.quaternion = other.quaternion = turn((0, 0, 1), angle)
    light = min(1.0, draw.gravity / 9.0) ** 0.5  # slower, or they fly out of sight
    speed = draw.graded("speed", 1.5 * light, 2.4 * light)
    _set_rolling(ball, along, speed, ledge.half[0] - 0.15)
    ball.rolling = 0.35 * ball.half[0] * speed / (draw.gravity * draw.pace)
    ball.position[2] += top
    place = along[:2] * (ledge.half[0] - 0.12)
    other.position = resting(top + other.half[2], *place)
    other.friction, other.density, ball.density = 0.2, 150.0, 600.0
    return [ball, other, ledge]


def shatter(draw: Draw) -> list:
    """An object falls and breaks into fragments where it hits the floor."""
    body = draw.body(("ball", *UPRIGHT), size="large", textures=("solid",))
    height = draw.graded("height", *_fall_heights(draw, 0.6, 1.0, share=0.35))
    body.position = resting(body.half[2] + height)
    body.quaternion = _tilted(draw) if body.shape != "ball" else turn((0, 0, 1), 0.0)
    return [body]


def rest(draw: Draw) -> list:
    """One to three objects that stand still."""
    count = draw.choice({1: 0.5, 2: 0.3, 3: 0.2}) if draw.company else 1
    bodies = [draw.body(draw.slice.shapes) for _ in range(count)]
    edge = 0.0
    for body in bodies:
        x, edge = edge + body.half[0], edge + 2 * body.half[0] + draw.uniform(0.15, 0.35)
        body.position = resting(body.half[2], x, draw.uniform(-0.3, 0.3))
        body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
        body.static = True
    return bodies


EVENTS = {
    "drop": drop,
    "roll": roll,
    "slide": slide,
    "throw": throw,
    "spin": spin,
    "collide": collide,
    "topple": topple,
    "occlude": occlude,
    "push": push,
    "break": shatter,
    "rest": rest,
}


def _scenery(draw: Draw, shape: str) -> Body:
    """Something that stands about, of a colour that no object has."""
    free = [color for color in draw.slice.colors if color not in draw.used_colors]
    color, half = draw.choice(free), np.array(vocabulary.SCENERY[shape])
    draw.used_colors.add(color)
    return Body(shape, color, "solid", "large", half, resting(half[2]), static=True)


def _fall_heights(draw: Draw, low: float, high: float, share: float = 0.5) -> tuple:
    """Heights from which something lands early enough: as given, and lower where gravity is low.

    The fall from the highest takes the `share` of the clip at most.
    """
    longest = min(1.4 * share * draw.pace, LONGEST_FALL * draw.first_shot)
    highest = draw.gravity * longest**2 / 2
    least = 1.0 if draw.old else min(1.0, highest / high)
    return low * least, high * least


def _glide(draw: Draw, friction: float) -> tuple:
    """(speed, seconds) of something that slides some metre while it is seen."""
    slowing, way, time = friction * draw.gravity, draw.uniform(0.7, 1.3), draw.pace
    if way / time < slowing * time / 2:  # it comes to rest before the clip ends
        speed = math.sqrt(2 * slowing * way)
        return speed, speed / slowing
    return way / time + slowing * time / 2, time


def _heading(draw: Draw, sideways_only: bool = False) -> np.ndarray:
    """Unit direction [3] on the floor: across the view, or (full slice) sometimes along it."""
    angle = math.radians(draw.azimuth + draw.uniform(-20, 20))
    if draw.slice.companions and not sideways_only and draw.rng.random() < 0.25:
        angle += math.pi / 2
    return draw.side() * np.array([math.cos(angle), math.sin(angle), 0.0])


def _set_rolling(body: Body, heading, speed, before):
    """Rolls `body` along `heading`, without slipping, from `before` metres ahead of the origin."""
    radius = body.half[0]
    axis = np.cross((0.0, 0.0, 1.0), heading)  # of the rolling motion, and of a lying cylinder
    body.position = resting(radius, *(-heading[:2] * before))
    body.velocity = tuple(heading * speed)
    body.spin = tuple(axis * speed / radius)
    if body.shape != "ball":  # lay its own z axis along `axis`
        body.quaternion = turn(np.cross((0.0, 0.0, 1.0), axis), math.pi / 2)


def _tilted(draw: Draw):
    """A random yaw after a moderate tilt about a horizontal axis."""
    angle = draw.uniform(0, 2 * math.pi)
    return turn((math.cos(angle), math.sin(angle), 0.0), draw.uniform(0.0, 0.6))


def _showing_rotation(draw: Draw):
    """Textures for events whose point is a rotation."""
    return [name for name in draw.slice.textures if name != "solid"]
