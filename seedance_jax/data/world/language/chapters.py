"""Captions of long clips: a sentence for each chapter."""

from seedance_jax.data.world import quantities, vocabulary
from seedance_jax.data.world.checks import Shot
from seedance_jax.data.world.language.naming import (
    article,
    capital,
    listed,
    looks_of,
    place_of,
    time_of,
)
from seedance_jax.data.world.scene import Scene


def caption_long(shot: Shot, allowed: vocabulary.Slice) -> tuple:
    """(caption, caption of the motion alone, captions of its one shot) of a long clip."""
    scene = shot.scene
    looks = [looks_of(body, allowed) for body in scene.bodies]
    there = listed([article(name) for name in looks[:3]])
    told = _chapters(scene, looks)
    bare = _chapters(scene, _bare_looks(scene.bodies))
    full = f"{capital(there)} are on {place_of(scene)}{time_of(scene, allowed)}."
    full = " ".join([full, *told])
    return full, " ".join(bare), [full]


def _bare_looks(bodies):
    return [bodies[0].shape, f"other {bodies[1].shape}", *(body.shape for body in bodies[2:])]


def _chapters(scene: Scene, looks: list) -> list:
    """The sentences of a long scene; looks are without articles."""
    screen, sentences = article(looks[3]), []
    for chapter in scene.chapters:
        sentences.append(_chapter(chapter, looks, screen))
        screen = f"the {looks[3]}" if chapter["kind"] == "hide" else screen
    return sentences


def _chapter(chapter: dict, looks: list, screen: str) -> str:
    name, side = looks[chapter["body"]], chapter.get("side", "")
    seconds = f"{chapter.get('seconds', 0.0):.1f} seconds"
    return {
        "hide": f"{capital(screen)} stops before the {name} for {seconds}."
        if quantities.rests_hidden(chapter)
        else f"{capital(screen)} hides the {name}, which rolls out from behind it.",
        "roll": f"The {name} rolls" + f" to the {side}" * bool(side) + ".",
        "leave": f"The {name} rolls out of the picture to the {side} and comes back.",
        "hop": f"The {name} hops.",
        "slide": f"The {name} slides.",
        "spin": f"The {name} spins.",
        "away": f"The camera pans {side} and looks away for {seconds}, then it comes back.",
    }[chapter["kind"]]
