"""Short prompts of a user's own, turned into captions of the synthetic world.

    "blue box sliding right at night" -> "A large blue cube slides to the right on a grey floor, at
    night. The camera is static."

What a prompt leaves open gets a default. Words that no caption of the slice can say, and words that
found no place in the caption, come back beside it: nothing is dropped in silence.
"""

import re
from typing import NamedTuple

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.language.camera_words import SENTENCE
from seedance_jax.data.world.language.naming import article, capital
from seedance_jax.data.world.language.reading import VERBS, read

# Of the captions of second shots, which tell how a motion ends.
CAPTION_WORDS = frozenset(
    ("comes to rest", "lies still", "stands still", "lands", "tumbles", "stop", "another", "third")
)
# Rolling is the first half of these.
SECOND_HALF = ("collide", "topple", "occlude", "push")
# What comes before what an event is named by.
FIRST_HALF = dict.fromkeys(SECOND_HALF, "roll") | {"break": "drop"}
# Sentences of captions about the physics.
PHYSICS = re.compile(
    r" (?:Gravity is|It is|The floor is|The (?:gravity|bounciness|friction) is) "
    r"(?:[^.]|\.(?=[0-9]))*\."
)
MAIN_SHAPE = {"slide": "cube"}  # of the other events, ball
TARGET_SHAPE = {"collide": "cube", "topple": "pillar", "occlude": "cube", "push": "cube"}
USUAL_EVENT = {"ball": "roll", "cube": "slide", "cylinder": "roll", "pillar": "topple"}


class Rewritten(NamedTuple):
    """A prompt to generate from, and the words of the user's that it does not say."""

    prompt: str
    left_out: tuple[str, ...] = ()


def rewrite(prompt: str, slice_name: str) -> Rewritten:
    """The caption of a prompt, in the words of a slice of a world; captions stay as they are."""
    allowed = vocabulary.find_slice(slice_name)
    if is_caption(prompt, allowed):
        return Rewritten(prompt)
    reading, unread = read(prompt, allowed)
    caption, unsaid = compose(reading, allowed)
    return Rewritten(caption, in_order([*unread, *unsaid], prompt))


def is_caption(prompt: str, allowed: vocabulary.Slice) -> bool:
    """Whether a prompt has the form of the captions of a slice, and none but their words."""
    sentences = tuple(vocabulary.CAMERA_MOVES[move].sentence for move in allowed.moves)
    filmed = prompt.endswith(sentences)
    if not filmed and len(allowed.paths) > 1 and (path := SENTENCE.search(prompt)):
        asked = re.findall(r"[a-z]+s (?:left|right|up|down|in|out|(?:counter)?clockwise)", path[0])
        verbs = {sentence.removeprefix("The camera ").rstrip(".") for sentence in sentences}
        filmed, prompt = verbs.issuperset(asked), prompt[: path.start()] + sentences[0]
    if allowed.varied:
        prompt = PHYSICS.sub("", prompt)
    formed = prompt.startswith(("A ", "An ", "The ")) and filmed
    return formed and CAPTION_WORDS.issuperset(read(prompt, allowed)[1])


def in_order(said: list, prompt: str) -> tuple[str, ...]:
    """Words of a prompt in the order in which they stand there, each once."""
    text = " ".join(prompt.lower().split())
    return tuple(sorted(set(said), key=text.find))


def hint(left_out: tuple[str, ...], slice_name: str) -> str:
    """What to tell the user about words that were left out; "" if there are none."""
    if not left_out:
        return ""
    allowed = vocabulary.find_slice(slice_name)
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
    bystanders = 1 if allowed.companions and event not in ("drop", "break", *SECOND_HALF) else 0
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
    chosen = next((event for event in events if event in FIRST_HALF), events[0])
    implied = (chosen, FIRST_HALF.get(chosen))
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
        "push": f"{first} rolls {where} and pushes {last} off a white ledge onto {place}",
        "break": f"{first} falls onto {place} and breaks into 8 pieces",
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
