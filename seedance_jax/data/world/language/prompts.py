"""Short prompts of a user's own, turned into captions of the synthetic world.

    "blue box sliding right at night" -> "A large blue cube slides to the right on a grey floor, at
    night. The camera is static."

What a prompt leaves open gets a default. Words that no caption of the slice can say, and words that
found no place in the caption, come back beside it: nothing is dropped in silence.
"""

import re
from typing import NamedTuple

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
}
CAMERA_VERBS = {
    "pan": "pan pans panning",
    "tilt": "tilt tilts tilting",
    "zoom": "zoom zooms zooming",
    "dolly": "dolly dollies dollying",
    "orbit": "orbit orbits orbiting",
}
SIDES = ("left", "right", "up", "down", "in", "out")
OPPOSITE = {"left": "right", "right": "left"}
GROUND = ("floor", "ground")
FILLERS = frozenset(
    "a an one the and on onto in into at to of from with over it its is are then while by there "
    "camera goes re-appears reappears stands background".split()
)
# Of the captions of second shots, which tell how a motion ends.
CAPTION_WORDS = frozenset(
    ("comes to rest", "lies still", "stands still", "lands", "tumbles", "stop", "another", "third")
)
# What means something as a whole: a way by its end, how often, how a motion ends. Then, a word.
PHRASES = re.compile(
    r"""
    \b(?:from\ )?(?:the\ )?(?:left|right|up|down)(?:\ side)?\ to\ (?:the\ )?
        (?P<to>left|right|up|down)\b
    | \bfrom\ (?:the\ )?(?P<origin>left|right)\b
    | \b(?P<verb>bounc\w+)\ (?:once|twice|(?:three|four|five)\ times)\b
    | \b(?<!camera\ )(?:stands?|lies?|stays?)\ still\b
    | \bcomes?\ to\ (?:an?\ )?(?:rest|stop|halt)\b
    | [^\W_]+(?:[-'][^\W_]+)*
    """,
    re.VERBOSE,
)
# Rolling is the first half of these.
SECOND_HALF = ("collide", "topple", "occlude")
MAIN_SHAPE = {"slide": "cube"}  # of the other events, ball
TARGET_SHAPE = {"collide": "cube", "topple": "pillar", "occlude": "cube"}
USUAL_EVENT = {"ball": "roll", "cube": "slide", "cylinder": "roll", "pillar": "topple"}


class Rewritten(NamedTuple):
    """A prompt to generate from, and the words of the user's that it does not say."""

    prompt: str
    left_out: tuple[str, ...] = ()


def rewrite(prompt: str, slice_name: str) -> Rewritten:
    """The caption of a prompt, in the words of a slice of the world; captions stay as they are."""
    allowed = vocabulary.SLICES[slice_name]
    if is_caption(prompt, allowed):
        return Rewritten(prompt)
    reading, unread = read(prompt, allowed)
    caption, unsaid = compose(reading, allowed)
    return Rewritten(caption, in_order([*unread, *unsaid], prompt))


def is_caption(prompt: str, allowed: vocabulary.Slice) -> bool:
    """Whether a prompt has the form of the captions of a slice, and none but their words."""
    sentences = tuple(vocabulary.CAMERA_MOVES[move].sentence for move in allowed.moves)
    formed = prompt.startswith(("A ", "An ", "The ")) and prompt.endswith(sentences)
    return formed and CAPTION_WORDS.issuperset(read(prompt, allowed)[1])


def in_order(said: list, prompt: str) -> tuple[str, ...]:
    """Words of a prompt in the order in which they stand there, each once."""
    text = " ".join(prompt.lower().split())
    return tuple(sorted(set(said), key=text.find))


def hint(left_out: tuple[str, ...], slice_name: str) -> str:
    """What to tell the user about words that were left out; "" if there are none."""
    if not left_out:
        return ""
    allowed = vocabulary.SLICES[slice_name]
    known = {
        "shapes": allowed.shapes,
        "colors": allowed.colors,
        "textures": allowed.textures if len(allowed.textures) > 1 else (),
        "events": [VERBS[event].split()[0] for event in allowed.events],
        "floors": allowed.floors,
        "camera": allowed.moves,
    }
    listed = "; ".join(f"{name}: {', '.join(values)}" for name, values in known.items() if values)
    names = ", ".join(left_out)
    return (
        f"not said by the caption, for the model has no words for it or no room: {names}. {listed}"
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
        table |= {word: ("move", verb) for word in spellings.split()}
    return table


def plurals(table: dict) -> dict[str, str]:
    """{plural: singular} of the shapes in a table of meanings."""
    shapes = [word for word, (kind, _) in table.items() if kind == "shape"]
    return {f"{word}{'es' if word.endswith('x') else 's'}": word for word in shapes}


def phrases(prompt: str) -> list[tuple[str, str]]:
    """(text, word that it means) of every phrase and word of a prompt: see PHRASES."""
    matches = PHRASES.finditer(" ".join(prompt.lower().split()))
    means = lambda m: m["to"] or OPPOSITE.get(m["origin"]) or m["verb"] or m[0]  # noqa: E731
    return [(match[0], means(match)) for match in matches]


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


def compose(reading: dict, allowed: vocabulary.Slice) -> tuple[str, list]:
    """The caption of a reading, and the words of the reading that it does not say."""
    said, unsaid = {}, []
    for kind, values in reading.items():
        if kind not in ("nouns", "event"):
            said[kind] = values[0][1]
            unsaid += [word for word, value in values if value != values[0][1]]
    nouns = list(reading["nouns"])
    event, more = choose_event(reading.get("event", []), nouns, allowed)
    unsaid += more
    wanted = 2 if event in SECOND_HALF else 1
    if wanted == 2 and len(nouns) == 1 and nouns[0].get("shape", ("", ""))[1] == "pillar":
        nouns.insert(0, {})  # what is knocked over is not what rolls
    if event == "drop" and allowed.companions:
        wanted = max(1, min(len(nouns), 3))
    bystanders = 1 if allowed.companions and event not in ("drop", *SECOND_HALF) else 0
    shown = nouns[: wanted + bystanders]
    for noun in nouns[wanted + bystanders :]:
        unsaid += [word for word, _ in noun.values()]
    shown += [{}] * (wanted - len(shown))
    usual = [MAIN_SHAPE.get(event, "ball"), TARGET_SHAPE.get(event, "cube"), "cylinder"]
    names = [describe(noun, shape, allowed) for noun, shape in zip(shown, usual, strict=False)]
    sentence = say(event, names[:wanted], said, reading, allowed)
    rest = [f" {capital(name)} stands in the background." for name in names[wanted:]]
    needless = {"spin": ["direction"], "drop": ["direction", "turning"]}.get(event, ["turning"])
    unsaid += [word for kind in needless for word, _ in reading.get(kind, [])]
    camera = vocabulary.CAMERA_MOVES[said.get("camera", "static")].sentence
    return f"{capital(sentence)}.{''.join(rest)} {camera}", unsaid


def choose_event(asked: list, nouns: list, allowed: vocabulary.Slice) -> tuple[str, list]:
    """The event that a caption tells of, and the words for others."""
    events = [event for _, event in asked]
    if not events:
        shape = nouns[0].get("shape", ("", "ball"))[1] if nouns else "ball"
        return USUAL_EVENT[shape], []
    chosen = next((event for event in events if event in SECOND_HALF), events[0])
    implied = (chosen, "roll") if chosen in SECOND_HALF else (chosen,)
    return chosen, [word for word, event in asked if event not in implied]


def describe(noun: dict, usual_shape: str, allowed: vocabulary.Slice) -> str:
    """An object as captions name it: size only where sizes differ, texture only if there is one."""
    value = {kind: value for kind, (_, value) in noun.items()}
    shape = value.get("shape", usual_shape)
    seen = [name for name in allowed.colors if shape not in vocabulary.HELD_OUT[name]]
    parts = [value.get("size", allowed.sizes[0])] if len(allowed.sizes) > 1 else []
    parts += [value[kind] for kind in ("texture",) if kind in value]
    return article(" ".join([*parts, value.get("color", seen[0]), shape]))


def say(event: str, names: list, said: dict, reading: dict, allowed: vocabulary.Slice) -> str:
    """The main sentence of a caption, without its full stop."""
    place = f"{article(said.get('floor', allowed.floors[0]))} floor"
    where = said.get("direction", "to the left")
    turning = said.get("turning", "clockwise")
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    first, last = names[0], names[-1]
    sentence = {
        "drop": f"{listed} fall{'s' * (len(names) == 1)} onto {place}"
        + f" and {bounces(reading)}" * bool(bounces(reading)),
        "roll": f"{first} rolls {where} on {place}",
        "slide": f"{first} slides {where} on {place}",
        "throw": f"{first} is thrown {where} onto {place}",
        "spin": f"{first} spins {turning} on {place}",
        "collide": f"{first} rolls {where} and hits {last} on {place}",
        "topple": f"{first} rolls {where} and knocks over {last} on {place}",
        "occlude": f"{first} rolls {where} on {place}, goes behind {last} and re-appears",
    }[event]
    return sentence + time_phrase(said.get("time", "day"), allowed)


def bounces(reading: dict) -> str:
    """How captions say that something bounces: "bounces twice"; "" if it was not asked for."""
    asked = [text for text, _ in reading.get("event", []) if text.startswith("bounc")]
    often = asked[0].partition(" ")[2].replace("once", "") if asked else ""
    return f"bounces {often}".rstrip() if asked else ""


def time_phrase(time: str, allowed: vocabulary.Slice) -> str:
    """How captions say the time of day, where it varies."""
    return f", {vocabulary.TIMES_OF_DAY[time].phrase}" if len(allowed.times_of_day) > 1 else ""


def article(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[0].upper() + text[1:]
