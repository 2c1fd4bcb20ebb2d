"""What a clip of the synthetic world should show by its record, and what the judges see in it."""

import json

import numpy as np

from seedance_jax.data.world.vocabulary import COLORS
from seedance_jax.evaluation import judges, movement, outlines

# What is judged, and what its judge can tell.
JUDGED = {
    "color": tuple(COLORS),
    "shape": tuple(outlines.BONUS),
    "direction": movement.DIRECTIONS,
    "camera": movement.MOVES,
}

# A cut changes the picture so many times as much as any two frames of a shot: rendered ones 1.7
# times or more, while single shots have one change 1.6 times the next at most.
MIN_CUT = 1.6


def asked_of(row, numbers):
    """What frames of a record show, by its ground truth: a value for each of `JUDGED`.

    Directions are those of the captions: before the first camera, "down" for what is dropped, and
    "" for what comes towards the camera or goes away from it, which no judge tells.
    """
    scene = json.loads(row["scene"])
    main = scene["objects"][0]
    first, last = numbers[0], numbers[-1]
    way = row["object_position"][last, 0] - row["object_position"][first, 0]
    right, _, forward = row["camera_rotation"][first] @ way
    aside = "" if abs(right) < abs(forward) else "right" if right > 0 else "left"
    return {
        "color": main["color"],
        "shape": main["shape"],
        "direction": "down" if scene["event"] == "drop" else aside,
        "camera": scene["camera"]["move"],
    }


def seen_in(clip):
    """What a clip uint8 [T,H,W,3] of one shot shows: `JUDGED` (None: not to be told) and motion."""
    color = judges.main_object_color(clip)
    empty = np.zeros(clip.shape[:3], bool)
    outline = empty if color is None else outlines.main_object_outline(clip, color)
    path = movement.camera_path(clip, outline)
    return {
        "color": color,
        "shape": outlines.main_object_shape(outline),
        "direction": movement.direction(outline, path),
        "camera": movement.camera_move(path),
        "motion": judges.motion(clip),
        "frozen": judges.is_frozen(clip),
    }


def summarize(asked, seen):
    """Shares of the clips with the right color, shape, direction and camera, an object, motion; and
    the mean motion in 8-bit levels.

    moving_camera_accuracy is of the clips whose camera should move; most stand. Shares of no clips
    are None. Only a clip with an object counts as moving: noise does not.
    """
    pairs = list(zip(asked, seen, strict=True))
    moving = [pair for pair in pairs if pair[0]["camera"] != "static"]
    return {
        **{f"{name}_accuracy": accuracy(pairs, name) for name in JUDGED},
        "moving_camera_accuracy": accuracy(moving, "camera"),
        "has_object": float(np.mean([v["color"] is not None for v in seen])),
        "moving": float(np.mean([v["color"] is not None and not v["frozen"] for v in seen])),
        "motion": float(np.mean([v["motion"] for v in seen])),
    }


def accuracy(pairs, name):
    """Share of (asked, seen) that agree, where what is asked can be told; None without any."""
    right = [s[name] == a[name] for a, s in pairs if a[name] in JUDGED[name]]
    return float(np.mean(right)) if right else None


def chance(asked, seen):
    """The accuracies if every clip were judged by the caption of a random one."""
    return {
        f"{name}_accuracy": accuracy([(a, s) for a in asked for s in seen], name) for name in JUDGED
    }


def seen_in_shots(clip, lengths):
    """What a clip of several shots shows: the colour in each, and whether the cuts are in place.

    That is so if the picture changes most from shot to shot, and by `MIN_CUT` more than elsewhere.
    """
    borders = np.cumsum(lengths)[:-1]
    change = np.abs(np.diff(clip.astype(np.float32), axis=0)).mean((1, 2, 3))
    within = np.delete(change, borders - 1).max(initial=0.0)
    return {
        "colors": [judges.main_object_color(shot) for shot in np.split(clip, borders)],
        "cut_in_place": bool(change[borders - 1].min() > MIN_CUT * within),
    }


def summarize_shots(asked, seen):
    """Shares of clips of several shots with their cuts in place, an object in every shot, of the
    same colour in all, and of the right colour in all."""
    found = [set(verdict["colors"]) for verdict in seen]
    return {
        "cut_in_place": float(np.mean([verdict["cut_in_place"] for verdict in seen])),
        "has_object": float(np.mean([None not in colors for colors in found])),
        "same_color": float(np.mean([len(c) == 1 and None not in c for c in found])),
        "color_accuracy": float(
            np.mean([c == {a["color"]} for a, c in zip(asked, found, strict=True)])
        ),
    }
