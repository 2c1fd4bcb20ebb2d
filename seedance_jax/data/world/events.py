"""What happens: one function per event places the objects and sets them going.

An event returns its bodies, the main one first. Speeds and distances follow the duration of the
clip, so that the event is seen before the clip ends. Lengths are metres, times seconds.
"""

import math

import numpy as np

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import Body, CameraPlan, Draw, Scene, resting, turn

UPRIGHT = ("cube", "cylinder")
# Size of the main object -> metres that the frame's shorter side shows, if the action fits.
VIEW_HEIGHT = {"large": (2.1, 2.5), "small": (1.8, 2.1)}


def drop(draw: Draw) -> list:
    """One to three objects fall side by side."""
    count = draw.choice({1: 0.55, 2: 0.3, 3: 0.15}) if draw.company else 1
    bodies = [
        draw.body(("ball", *UPRIGHT), size="" if count == 1 else "small") for _ in range(count)
    ]
    height = draw.graded("height", 0.6, 1.1)
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
    stop = draw.pace * draw.uniform(0.75, 1.0)
    speed = draw.graded("speed", 2.0 / draw.pace, 3.2 / draw.pace)
    heading = _heading(draw)
    body.friction = speed / (draw.gravity * stop)
    body.position = resting(body.half[2], *(-heading[:2] * speed * stop / 4))
    body.velocity = tuple(heading * speed)
    body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    return [body]


def throw(draw: Draw) -> list:
    """An object flies in an arc and lands."""
    body = draw.body(("ball", *UPRIGHT))
    apex = draw.graded("height", 0.3, 0.6)
    heading = _heading(draw, sideways_only=True)
    start = draw.uniform(0.15, 0.4)
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


EVENTS = {
    "drop": drop,
    "roll": roll,
    "slide": slide,
    "throw": throw,
    "spin": spin,
    "collide": collide,
    "topple": topple,
    "occlude": occlude,
}

# Events that go differently under another gravity, and events that leave room for a bystander.
SHOW_GRAVITY = ("drop", "throw")
LEAVE_ROOM = ("roll", "slide", "throw", "spin")


def sample_scene(draw: Draw, event: str, moves: list) -> Scene:
    """Draws the scene of one attempt; event and camera moves (one a shot) are the caller's."""
    draw.draw_gravity(matters=event in SHOW_GRAVITY)
    bodies = EVENTS[event](draw)
    if draw.company and event in LEAVE_ROOM and draw.rng.random() < 0.3:
        bodies.append(_bystander(draw))
    # The sun stands on the cameras' side, so that the faces that are seen are lit.
    side = draw.side()
    return Scene(
        event=event,
        bodies=bodies,
        floor=draw.choice(draw.slice.floors),
        time_of_day=draw.choice(draw.slice.times_of_day),
        sun_azimuth=draw.azimuth + side * draw.uniform(25, 80),
        gravity=draw.gravity,
        cameras=_views(draw, moves, VIEW_HEIGHT[bodies[0].size], side),
        numbers=draw.numbers,
        ranges=draw.ranges,
        outside=draw.outside,
    )


def _views(draw: Draw, moves: list, view_height: tuple, side: float) -> list:
    """A camera for every shot; the second looks from the side, and from higher up."""
    azimuth, elevations = draw.azimuth, ((12, 24), (30, 45))
    plans = []
    for move, elevation in zip(moves, elevations, strict=False):
        plans.append(
            CameraPlan(
                move=move,
                amount=draw.uniform(*vocabulary.CAMERA_MOVES[move].amount),
                azimuth=azimuth,
                elevation=draw.uniform(*elevation),
                focal=draw.uniform(1.4, 1.8),
                view_height=draw.uniform(*view_height),
            )
        )
        azimuth = draw.azimuth + side * draw.uniform(45, 160)
    return plans


def _bystander(draw: Draw) -> Body:
    """An object that stands in the background and takes no part."""
    body = draw.body(UPRIGHT, size="small")
    body.position = resting(
        body.half[2], draw.side() * draw.uniform(0.3, 0.9), draw.uniform(1.1, 1.5)
    )
    body.quaternion = turn((0, 0, 1), draw.uniform(0, 6.28))
    body.static = True
    return body


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
