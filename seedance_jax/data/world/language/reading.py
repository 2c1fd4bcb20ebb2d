"""What a user's short prompt says, as values of the synthetic world and words that are none."""

import re

from seedance_jax.data.world import vocabulary

# Words of a prompt -> (kind, value), beside the names in the vocabulary itself.
SYNONYMS = {
    "sphere": ("shape", "ball"),
    "box": ("shape", "cube"),
    "block": ("shape", "cube"),
    "column": ("shape", "pillar"),
    "violet": ("color", "purple"),
    "big": ("size", "large"),
    "little": ("size", "small"),
    "stripes": ("texture", "striped"),
    "gray": ("floor", "grey"),
    "sand": ("floor", "sandy"),
    "wood": ("floor", "wooden"),
    "grass": ("floor", "grassy"),
    "daylight": ("time", "day"),
    "daytime": ("time", "day"),
    "dusk": ("time", "sunset"),
    "left": ("direction", "to the left"),
    "leftwards": ("direction", "to the left"),
    "right": ("direction", "to the right"),
    "rightwards": ("direction", "to the right"),
    "towards": ("direction", "towards the camera"),
    "toward": ("direction", "towards the camera"),
    "away": ("direction", "away from the camera"),
    "clockwise": ("turning", "clockwise"),
    "counterclockwise": ("turning", "counterclockwise"),
    "anticlockwise": ("turning", "counterclockwise"),
    "static": ("camera", "static"),
    "still": ("camera", "static"),
}
VERBS = {
    "drop": "drop drops dropping dropped fall falls falling bounce bounces bouncing",
    "roll": "roll rolls rolling rolled",
    "slide": "slide slides sliding slid",
    "throw": "throw throws throwing thrown fly flies flying",
    "spin": "spin spins spinning rotate rotates rotating",
    "collide": "hit hits hitting collide collides colliding",
    "topple": "knock knocks knocking topple topples toppling",
    "occlude": "behind",
    "push": "push pushes pushing pushed",
    "break": "break breaks breaking shatter shatters shattering",
}
ROLLS = "camera roll"  # unlike what balls do
CAMERA_VERBS = {
    "pan": "pan pans panning",
    "tilt": "tilt tilts tilting",
    "zoom": "zoom zooms zooming",
    "dolly": "dolly dollies dollying",
    "orbit": "orbit orbits orbiting",
    "truck": "truck trucks trucking",
    "roll": ROLLS.replace(" ", "_"),
}
SIDES = ("left", "right", "up", "down", "in", "out", "clockwise", "counterclockwise")
OPPOSITE = {"left": "right", "right": "left"}
GROUND = ("floor", "ground")
FILLERS = frozenset(
    "a an one the and on onto in into at to of from with over it its is are then while by there "
    "camera goes re-appears reappears stands background off ledge pieces".split()
)
# What means something as a whole: a way by its end, how often, how a motion ends. Then, a word.
PHRASES = re.compile(
    r"""
    \b(?:from\ )?(?:the\ )?(?:left|right|up|down)(?:\ side)?\ to\ (?:the\ )?
        (?P<to>left|right|up|down)\b
    | \bfrom\ (?:the\ )?(?P<origin>left|right)\b
    | \b(?P<verb>bounc\w+)\ (?:once|twice|(?:three|four|five)\ times)\b
    | \b(?P<pieces>into\ (?:6|7|8|9|10|11|12)\ pieces)\b
    | \b(?P<rolls>camera\ roll(?:s|ing)?\b|roll(?:s|ing)?(?=\ (?:counter)?clockwise\b))
    | \b(?<!camera\ )(?:stands?|lies?|stays?)\ still\b
    | \bcomes?\ to\ (?:an?\ )?(?:rest|stop|halt)\b
    | [^\W_]+(?:[-'][^\W_]+)*
    """,
    re.VERBOSE,
)


def meanings(allowed: vocabulary.Slice) -> dict[str, tuple[str, str]]:
    """{word: (kind, value)} of every word that means something in a slice."""
    kinds = {
        "color": allowed.colors,
        "shape": allowed.shapes,
        "size": allowed.sizes,
        "texture": [name for name in allowed.textures if name != "solid"],
        "floor": allowed.floors,
        "time": allowed.times_of_day,
        "event": allowed.events,
    }
    table = {name: (kind, name) for kind in ("floor", "color", "shape", "size", "texture", "time")
             for name in kinds[kind]}  # fmt: skip
    for word, (kind, value) in SYNONYMS.items():
        if kind not in kinds or value in kinds[kind]:
            table[word] = (kind, value)
    for event in allowed.events:
        table |= {word: ("event", event) for word in VERBS[event].split()}
    for verb, spellings in CAMERA_VERBS.items():
        table |= {word.replace("_", " "): ("move", verb) for word in spellings.split()}
    return table


def plurals(table: dict) -> dict[str, str]:
    """{plural: singular} of the shapes in a table of meanings."""
    shapes = [word for word, (kind, _) in table.items() if kind == "shape"]
    return {f"{word}{'es' if word.endswith('x') else 's'}": word for word in shapes}


def phrases(prompt: str) -> list[tuple[str, str]]:
    """(text, word that it means) of every phrase and word of a prompt: see PHRASES."""
    matches = PHRASES.finditer(" ".join(prompt.lower().split()))
    return [(match[0], _meaning(match)) for match in matches]


def _meaning(match):
    if match["rolls"] or match["pieces"]:
        return ROLLS if match["rolls"] else "pieces"
    return match["to"] or OPPOSITE.get(match["origin"]) or match["verb"] or match[0]


def read(prompt: str, allowed: vocabulary.Slice, more: dict | None = None) -> tuple[dict, list]:
    """What a prompt asks for, and its words that ask for nothing the slice has.

    `more` are `meanings` besides those of the slice.

    Returns {"nouns": [{kind: (word, value)}], kind: [(word, value)]}.
    """
    table, found, unread = meanings(allowed) | (more or {}), {"nouns": []}, []
    several, tokens = plurals(table), phrases(prompt)
    adjectives, verb = {}, None
    for (text, token), (_, following) in zip(tokens, [*tokens[1:], ("", "")], strict=False):
        kind, value = table.get(several.get(token, token), (None, None))
        if token in allowed.floors and following in GROUND:
            kind, value = "floor", token
        if verb and kind in ("shape", "event", "move"):  # "pans as the ball rolls left"
            unread.append(verb[0])
            verb = None
        if verb and token in SIDES:
            move = (f"{verb[0]} {text}", f"{verb[1]} {token}")
            if move[1] in allowed.moves:
                found.setdefault("camera", []).append(move)
            else:
                unread.append(move[0])
            verb = None
        elif kind == "move":
            verb = (text, value)
        elif kind == "shape":
            found["nouns"].append(adjectives | {"shape": (text, value)})
            adjectives = {}
            unread += [text] * (token in several)  # captions tell of one
        elif kind in ("color", "size", "texture"):
            if adjectives.setdefault(kind, (text, value))[1] != value:
                unread.append(text)  # "a red and blue ball": captions tell of one
        elif kind:
            found.setdefault(kind, []).append((text, value))
        elif token not in FILLERS and token not in GROUND:
            unread.append(text)
    if adjectives:  # "the ball is red", "something red"
        if found["nouns"] and not adjectives.keys() & found["nouns"][-1].keys():
            found["nouns"][-1] |= adjectives
        else:
            found["nouns"].append(adjectives)
    return found, unread + ([verb[0]] if verb else [])
