"""The words of the synthetic world and the numbers behind them: plain data."""

import dataclasses

# Linear RGB reflectance. Hues are spread so that no two look alike after shading at 64 pixels.
COLORS = {
    "red": (0.75, 0.02, 0.02),
    "orange": (0.95, 0.27, 0.01),
    "yellow": (0.95, 0.78, 0.04),
    "green": (0.04, 0.46, 0.06),
    "cyan": (0.03, 0.66, 0.72),
    "blue": (0.03, 0.09, 0.72),
    "purple": (0.30, 0.04, 0.58),
    "pink": (0.95, 0.33, 0.58),
    "white": (0.90, 0.90, 0.88),
}

# Shape -> half extents in units of the object's size; x and y of the round shapes are their radius.
SHAPES = {
    "ball": (1.0, 1.0, 1.0),
    "cube": (0.82, 0.82, 0.82),
    "cylinder": (0.78, 0.78, 0.90),
    "pillar": (0.36, 0.36, 1.20),
}
# What stands about: half extents in metres.
SCENERY = {"ledge": (0.62, 0.30, 0.22), "screen": (0.62, 0.04, 0.72)}
PRIMITIVES = {"ball": "sphere", "cube": "box", "cylinder": "cylinder", "pillar": "cylinder"}
PRIMITIVES |= dict.fromkeys((*SCENERY, "fragment"), "box")

# Size -> range of half the object's extent, metres.
SIZES = {"large": (0.42, 0.50), "small": (0.26, 0.32)}

TEXTURES = ("solid", "striped", "checkered")

# Floor -> the two linear RGB colours that its pattern mixes.
FLOORS = {
    "grey": ((0.30, 0.30, 0.31), (0.38, 0.38, 0.39)),
    "sandy": ((0.50, 0.37, 0.22), (0.68, 0.54, 0.36)),
    "checkered": ((0.58, 0.56, 0.52), (0.20, 0.22, 0.26)),
    "wooden": ((0.24, 0.11, 0.04), (0.52, 0.29, 0.13)),
    "grassy": ((0.05, 0.15, 0.03), (0.18, 0.34, 0.08)),
}


@dataclasses.dataclass(frozen=True)
class TimeOfDay:
    """Linear RGB of the sky (at the horizon, overhead) and of the sun or moon."""

    horizon: tuple
    zenith: tuple
    sun: tuple
    sun_height: float  # tangent of the sun's elevation
    ambient: float  # scales the light of the sky
    phrase: str


TIMES_OF_DAY = {
    "day": TimeOfDay(
        (0.72, 0.82, 0.95), (0.25, 0.48, 0.88), (1.00, 0.96, 0.88), 1.7, 0.45, "in daylight"
    ),
    "sunset": TimeOfDay(
        (0.95, 0.64, 0.46), (0.36, 0.33, 0.55), (1.08, 0.80, 0.60), 0.75, 0.50, "at sunset"
    ),
    "night": TimeOfDay(
        (0.10, 0.13, 0.27), (0.03, 0.04, 0.12), (0.44, 0.49, 0.62), 1.5, 1.40, "at night"
    ),
}


@dataclasses.dataclass(frozen=True)
class CameraMove:
    """What changes in the view over the clip (see `camera.py`), which way and how much."""

    track: str
    sign: int
    amount: tuple
    unit: str
    sentence: str


CAMERA_MOVES = {
    "static": CameraMove("none", 0, (0.0, 0.0), "none", "The camera is static."),
    "pan left": CameraMove("yaw", -1, (7.0, 11.0), "degrees", "The camera pans left."),
    "pan right": CameraMove("yaw", 1, (7.0, 11.0), "degrees", "The camera pans right."),
    "tilt up": CameraMove("pitch", 1, (6.0, 9.0), "degrees", "The camera tilts up."),
    "tilt down": CameraMove("pitch", -1, (6.0, 9.0), "degrees", "The camera tilts down."),
    "zoom in": CameraMove("zoom", 1, (1.25, 1.45), "focal_ratio", "The camera zooms in."),
    "zoom out": CameraMove("zoom", -1, (1.25, 1.45), "focal_ratio", "The camera zooms out."),
    "dolly in": CameraMove("advance", 1, (0.8, 1.2), "metres", "The camera dollies in."),
    "dolly out": CameraMove("advance", -1, (0.8, 1.2), "metres", "The camera dollies out."),
    "orbit left": CameraMove("azimuth", -1, (22.0, 40.0), "degrees", "The camera orbits left."),
    "orbit right": CameraMove("azimuth", 1, (22.0, 40.0), "degrees", "The camera orbits right."),
}
OLD_MOVES = tuple(CAMERA_MOVES)
CAMERA_MOVES |= {
    "roll clockwise": CameraMove("roll", 1, (10.0, 25.0), "degrees", "The camera rolls clockwise."),
    "roll counterclockwise": CameraMove(
        "roll", -1, (10.0, 25.0), "degrees", "The camera rolls counterclockwise."
    ),
    "truck left": CameraMove("shift", -1, (0.4, 0.8), "metres", "The camera trucks left."),
    "truck right": CameraMove("shift", 1, (0.4, 0.8), "metres", "The camera trucks right."),
}

OLD_EVENTS = ("drop", "roll", "slide", "throw", "spin", "collide", "topple", "occlude")
EVENTS = (*OLD_EVENTS, "push", "break")

# Events that go on for long enough to be cut; of a single object.
# {event: (what captions of the whole clip call it, word before the floor)}
TWO_SHOT_EVENTS = {
    "drop": ("falling", "onto"),
    "roll": ("rolling", "on"),
    "slide": ("sliding", "on"),
    "throw": ("thrown", "onto"),
    "spin": ("spinning", "on"),
}

# Shapes that training and validation never show in a colour, on any object.
HELD_OUT = {
    "red": ("cube",),
    "orange": ("cylinder", "pillar"),
    "yellow": ("ball",),
    "green": ("cylinder", "pillar"),
    "cyan": ("cube",),
    "blue": ("ball",),
    "purple": ("cube",),
    "pink": ("cylinder", "pillar"),
    "white": ("ball",),
}

# Wrong clips (`corruptions.py`) that judges and rewards are tried on: no training data has them.
ACCEPTANCE = ("stagnate", "moved_hidden", "identity_swap", "exposure_wobble")
# What captions can be made wrong in (`language/edits.py`).
EDITED = ("color", "shape", "count", "direction", "event", "camera")

SPLITS = ("train", "validation", "held_out_combinations", "out_of_range")


@dataclasses.dataclass(frozen=True)
class Slice:
    """What a world is allowed to show. `events`, `moves`, ... map names to probabilities."""

    events: dict
    moves: dict
    shapes: tuple
    colors: tuple
    textures: tuple
    sizes: tuple
    floors: tuple
    times_of_day: dict
    companions: bool  # more objects than the event needs
    two_shot: float  # share of clips that are cut to another camera halfway
    paths: dict = dataclasses.field(default_factory=lambda: {"single": 1.0})  # of moving cameras
    varied: float = 0.0  # share of clips with gravity, bounciness and friction of their whole range
    physics_labels: bool = True  # whether these numbers are told, to captions and to training
    long: bool = False


def _evenly(names, static=0.0):
    """{name: probability}, all alike but for the share of "static"."""
    share = (1 - static) / (len(names) - ("static" in names))
    return {name: static if name == "static" else share for name in names}


# Kinds of camera paths: one move, two at once, one after the other, and out of sight and back.
PATHS = {"single": 0.55, "together": 0.2, "sequence": 0.15, "back": 0.1}

_TINY = Slice(
    events=_evenly(("drop", "roll", "slide", "throw")),
    moves=_evenly(
        [move for move in CAMERA_MOVES if move.split()[0] in ("static", "pan", "tilt", "zoom")]
        + ["roll clockwise", "roll counterclockwise"],
        1 / 8,
    ),
    shapes=("ball", "cube", "cylinder"),
    colors=tuple(name for name in COLORS if name != "pink"),
    textures=("solid",),
    sizes=("large",),
    floors=("grey", "sandy"),
    times_of_day={"day": 1.0},
    companions=False,
    two_shot=0.15,
    paths=PATHS,
    varied=0.5,
)
# Everything that happens in "full", where classical vision can measure it at 64 pixels.
_PLAIN = Slice(
    events=_evenly(EVENTS),
    moves=_evenly(CAMERA_MOVES, 1 / 8),
    shapes=tuple(SHAPES),
    colors=tuple(COLORS),
    textures=("solid", "striped"),
    sizes=tuple(SIZES),
    floors=("grey", "sandy"),
    times_of_day={"day": 1.0},
    companions=True,
    two_shot=0.15,
    paths=PATHS,
    varied=0.6,
)
_RICH = {
    "textures": TEXTURES,
    "floors": tuple(FLOORS),
    "times_of_day": {"day": 0.6, "sunset": 0.2, "night": 0.2},
    "two_shot": 0.25,
}
# The world of today. Physics has labels in all but "full", which is to be learned from the others.
SLICES = {
    "tiny": _TINY,
    "plain": _PLAIN,
    "full": dataclasses.replace(_PLAIN, **_RICH, physics_labels=False),
    "long": dataclasses.replace(_PLAIN, events={"episodes": 1.0}, two_shot=0.0, long=True),
}


def _as_before(allowed, moves, static):
    moves = _evenly(moves, static)
    events = [event for event in allowed.events if event in OLD_EVENTS]
    alone = {"paths": {"single": 1.0}, "varied": 0.0, "physics_labels": True}
    return dataclasses.replace(allowed, events=_evenly(events), moves=moves, **alone)


_TINY_MOVES = ("static", "pan left", "pan right", "zoom in", "zoom out")
# {version: {slice: what it may show}}: of the old world, what the released weights were trained on.
WORLDS = {
    "1.3.0": {
        "tiny": _as_before(_TINY, _TINY_MOVES, 0.7),
        "plain": _as_before(_PLAIN, OLD_MOVES, 0.3),
        "full": _as_before(SLICES["full"], OLD_MOVES, 0.3),
    },
    "2.0.0": SLICES,
}


def find_slice(name: str) -> Slice:
    """The slice "tiny" of today's world, or, as "1.3.0/tiny", that of an older one."""
    version, _, own = name.rpartition("/")
    return (WORLDS[version] if version else SLICES)[own]
