"""What the record of a clip of the world tells of it: no picture is looked at.

event        what happens
camera_move  of the first shot: "static", a move, or "path" of several
floor, time_of_day
shots        how many
objects      how many, without what stands about
"""

import json
from collections.abc import Mapping
from typing import Any

from seedance_jax.data.world import vocabulary

# {column of text: what it may say}. "rest" are pictures and clips in
# which nothing happens, "episodes" long clips.
WORDS = {
    "event": (*vocabulary.EVENTS, "rest", "episodes"),
    "camera_move": (*vocabulary.CAMERA_MOVES, "path"),
    "floor": tuple(vocabulary.FLOORS),
    "time_of_day": tuple(vocabulary.TIMES_OF_DAY),
}


def score(row: Mapping[str, Any]) -> dict[str, str | float]:
    """{column: value} of a record of the world."""
    scene = json.loads(row["scene"])
    things = [thing for thing in scene["objects"] if not thing.get("scenery")]
    return {
        "event": scene["event"],
        "camera_move": scene["camera"]["move"],
        "floor": scene["floor"],
        "time_of_day": scene["time_of_day"],
        "shots": float(len(scene["shots"])),
        "objects": float(len(things)),
    }
