"""Prompts of several shots, turned into captions like those of the world's clips of two shots.

    "Shot 1: a blue cube slides left on sand. Shot 2: it stops" ->
    of the clip: Two shots of a blue cube sliding on a sandy floor.
    of shot 1: A blue cube slides to the left on a sandy floor. The camera is static.
    of shot 2: The blue cube slides to a stop. The camera is static.

A shot goes on with what it does not name itself: the object, its motion, the place. What it takes
over so comes back beside the captions, and so do words that they do not say.
"""

import dataclasses
import re
from typing import NamedTuple

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.language import prompts
from seedance_jax.data.world.language.reading import read

BEGINNING = re.compile(r"\s*two shots of\b", re.I)  # of the captions of clips of two shots
SPELLINGS = {  # how a motion ends, which only later shots tell
    "stop": "stop stops stopping stopped halts comes_to_rest comes_to_a_stop comes_to_a_halt",
    "still": "stand_still stands_still lie_still lies_still stay_still stays_still",
    "land": "land lands landing",
    "tumble": "tumble tumbles tumbling",
}
FLYING = ("fly", "flies", "flying")
MOTION = ("event", "direction", "turning")
PLACE = ("floor", "time")
OF_SHOT = (*MOTION, "camera", "ending")
ENDINGS = {
    word.replace("_", " "): ("ending", ending)
    for ending, spellings in SPELLINGS.items()
    for word in spellings.split()
}
SAID_BY = {  # the verbs of captions
    "drop": ("falls",),
    "roll": ("rolls",),
    "slide": ("slides",),
    "throw": ("thrown", "flies"),
    "spin": ("spins",),
    "stop": ("to a stop", "to rest"),
    "still": ("still",),
    "land": ("lands",),
    "tumble": ("tumbles",),
}


class Story(NamedTuple):
    """A prompt to generate from: captions of the clip ("" for none) and of its shots; and notes.

    `left_out` are words of the user's that no caption says, `assumed` tells of each shot what it
    takes over from those before it.
    """

    common: str
    captions: list[str]
    left_out: tuple[str, ...]
    assumed: tuple[str, ...]


class Shot(NamedTuple):
    """What a shot shows.

    Attributes:
      own: reading of its text, and of that before all shots.
      whole: the same with what it takes over; `nouns` is its one object.
      event: of the world.
      again: whether a shot before it shows the object.
    """

    own: dict
    whole: dict
    event: str
    again: bool


def rewrite_shots(common: str, texts: list, slice_name: str) -> Story:
    """The Story of what a prompt says of all shots ("" for nothing) and of each of two or more.

    A clip of the world shows one object. Another one is described like the first, and then, as for
    more than two shots, there is no caption of the clip.
    """
    full = vocabulary.find_slice(slice_name)
    events = {name: full.events[name] for name in vocabulary.TWO_SHOT_EVENTS if name in full.events}
    allowed = dataclasses.replace(full, events=events, companions=False)
    parts = [BEGINNING.sub("", common) if len(texts) == 2 else common, *texts]
    readings, unread = zip(
        *(read(text, allowed, ENDINGS if i > 1 else {}) for i, text in enumerate(parts)),
        strict=True,
    )
    shots = take_over(readings, allowed)
    captions = [
        text if prompts.is_caption(text, full) else tell(shot, allowed)
        for text, shot in zip(texts, shots, strict=True)
    ]
    one_object = [shot.again for shot in shots] == [False, True]
    overall = tell_clip(shots[0], allowed) if one_object else ""
    everything = " ".join([overall, *captions, *implied(full)])
    left_out = []
    for reading, rest, caption in zip(readings, unread, [everything, *captions], strict=True):
        left_out += [word for word in rest if not re.search(rf"\b{word}", caption.lower())]
        left_out += unsaid(reading, caption, everything)
    assumed = [
        f"shot {number}: {taken}"
        for number, (text, caption, shot) in enumerate(zip(texts, captions, shots, strict=True), 1)
        if caption != text and (taken := taken_over(shot, number, allowed))
    ]
    return Story(overall, captions, prompts.in_order(left_out, " ".join(parts)), tuple(assumed))


def take_over(readings: tuple, allowed: vocabulary.Slice) -> list[Shot]:
    """The Shots of readings, of which the first is of the text before all shots."""
    common, first, *later = readings
    camera = {kind: common[kind] for kind in ("camera",) if kind in common}
    things, shown = follow(readings)
    place = {kind: values for kind in PLACE if (values := named(kind, readings))}
    shots, motion = [], {}
    owns = (common | first, *(camera | own for own in later))
    for number, (own, k) in enumerate(zip(owns, shown, strict=True)):
        again = k in shown[:number]
        motion = (motion if again else {}) | {kind: own[kind] for kind in MOTION if kind in own}
        event, _ = prompts.choose_event(motion.get("event", []), [things[k]], allowed)
        things[k].setdefault("shape", ("", prompts.MAIN_SHAPE.get(event, "ball")))
        whole = own | place | motion | {"nouns": [things[k]]}
        shots.append(Shot(own, whole, event, again))
        motion = motion | {"event": [("", event)]}
    return shots


def follow(readings: tuple) -> tuple[list, list]:
    """(objects, which of them each shot shows): the first that a shot names, or that of before.

    "the ball" is the red ball of before, "a blue ball" is another one.
    """
    things, shown, current = [{}], [], 0
    for reading in readings:
        for noun in reading["nouns"][:1]:
            agree = [k for k, thing in enumerate(things) if agrees(noun, thing)]
            current = agree[-1] if agree else len(things)
            things += [] if agree else [{}]
            things[current] |= noun
        shown.append(current)
    return things, shown[1:]


def agrees(noun: dict, thing: dict) -> bool:
    """Whether nothing that is said of a noun is said otherwise of a thing."""
    return all(thing.get(kind, own)[1] == own[1] for kind, own in noun.items())


def named(kind: str, readings: tuple) -> list:
    """All (word, value) of a kind in readings."""
    return [pair for reading in readings for pair in reading.get(kind, [])]


def tell(shot: Shot, allowed: vocabulary.Slice) -> str:
    """The caption of a shot."""
    if not shot.again:
        return prompts.compose(shot.whole, allowed)[0]
    camera = vocabulary.CAMERA_MOVES[first(shot.own, "camera", "static")].sentence
    return f"The {looks(shot, allowed)} {go_on(shot, allowed)}. {camera}"


def tell_clip(shot: Shot, allowed: vocabulary.Slice) -> str:
    """The caption of a clip of two shots, by the first."""
    going, where = vocabulary.TWO_SHOT_EVENTS[shot.event]
    place = prompts.article(first(shot.whole, "floor", allowed.floors[0]))
    name = prompts.article(looks(shot, allowed))
    time = prompts.time_phrase(first(shot.whole, "time", "day"), allowed)
    return f"Two shots of {name} {going} {where} {place} floor{time}."


def first(reading: dict, kind: str, usual: str) -> str:
    """The first value of a kind in a reading."""
    return reading.get(kind, [("", usual)])[0][1]


def looks(shot: Shot, allowed: vocabulary.Slice) -> str:
    """The object of a shot, without its article."""
    [thing] = shot.whole["nouns"]
    return prompts.describe(thing, "ball", allowed).partition(" ")[2]


def go_on(shot: Shot, allowed: vocabulary.Slice) -> str:
    """What an object does that a shot before has shown, from the verb on."""
    own, slides = shot.own, shot.event == "slide"
    way = first(shot.whole, "direction", "to the left")
    place = prompts.article(first(shot.whole, "floor", allowed.floors[0])) + " floor"
    bounces = prompts.bounces(own)
    rests = "lies still" if shot.event == "drop" else "comes to rest"
    return {
        "drop": f"falls onto {place}" + f" and {bounces}" * bool(bounces),
        "roll": f"rolls {way}",
        "slide": f"slides {way}",
        "throw": f"is thrown {way} onto {place}",
        "spin": f"spins {first(shot.whole, 'turning', 'clockwise')}",
        "landed": "bounces" if looks(shot, allowed).endswith("ball") else rests,
        "fly": f"flies {way} and lands",
        "bounce": bounces + f" {way}" * ("direction" in own),
        "stop": "slides to a stop" if slides else "comes to rest",
        "still": "stands still" if slides else "lies still",
        "land": "lands",
        "tumble": f"tumbles {way}",
    }[how(own, shot.event)]


def how(own: dict, event: str) -> str:
    """How an event goes on in a shot: a key of the table in `go_on`."""
    verbs = [word for word, value in own.get("event", []) if value == event]
    if any(verb in FLYING for verb in verbs):
        return "fly"
    if "ending" in own:
        return first(own, "ending", "")
    if event in ("drop", "throw") and not verbs:
        return "landed"
    return "bounce" if verbs and all(verb.startswith("bounc") for verb in verbs) else event


def taken_over(shot: Shot, number: int, allowed: vocabulary.Slice) -> str:
    """What a shot shows that it does not ask for, in words; "" for nothing."""
    if not shot.again:
        return "another object, as in no clip of the training" if number > 1 else ""
    own, caption = shot.own, go_on(shot, allowed)
    way = first(shot.whole, "direction", "to the left")
    said = {"event", "ending"} & own.keys()
    taken = [] if own["nouns"] else [f"the {looks(shot, allowed)}"]
    taken += [] if said else [caption]
    taken += [way] if said and "direction" not in own and caption.endswith(way) else []
    return ", ".join(taken)


def implied(allowed: vocabulary.Slice) -> list[str]:
    """What captions of a slice need not say, for it is always so."""
    times = [vocabulary.TIMES_OF_DAY[name].phrase for name in allowed.times_of_day]
    return [values[0] for values in (allowed.sizes, times) if len(values) == 1]


def unsaid(reading: dict, caption: str, clip: str) -> list[str]:
    """Words of a reading that its caption does not say, nor, of looks and place, the clip's."""
    pairs = [(kind, *pair) for noun in reading["nouns"] for kind, pair in noun.items()]
    pairs += [(kind, *pair) for kind in reading if kind != "nouns" for pair in reading[kind]]
    return [
        word
        for kind, word, value in pairs
        if not says(caption if kind in OF_SHOT else clip, kind, word, value)
    ]


def says(text: str, kind: str, word: str, value: str) -> bool:
    """Whether a text says what a word of a kind means."""
    forms = {
        "camera": lambda: [vocabulary.CAMERA_MOVES[value].sentence[len("The camera ") : -1]],
        "time": lambda: [vocabulary.TIMES_OF_DAY[value].phrase],
        "floor": lambda: [f"{value} floor"],
        "event": lambda: ["bounces"] if word.startswith("bounc") else SAID_BY[value],
        "ending": lambda: SAID_BY[value],
    }.get(kind, lambda: [value])()
    return any(re.search(rf"\b{re.escape(form)}", text) for form in forms)
