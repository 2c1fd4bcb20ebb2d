"""How captions name objects, places and times."""

from seedance_jax.data.world import vocabulary
from seedance_jax.data.world.scene import Body, Scene


def looks_of(body: Body, allowed: vocabulary.Slice) -> str:
    """Size only where sizes differ, texture only where there is one."""
    sized = len(allowed.sizes) > 1 and body.shape not in vocabulary.SCENERY
    parts = [body.size] if sized else []
    parts += [body.texture] if body.texture != "solid" else []
    return " ".join([*parts, body.color, body.shape])


def bare_names(bodies: list) -> list:
    """Objects by their shapes alone."""
    names = []
    for k, body in enumerate(bodies):
        same = sum(other.shape == body.shape for other in bodies[:k])
        names.append(f"{('the', 'another', 'a third')[same]} {body.shape}")
    return names


def article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def place_of(scene: Scene) -> str:
    return f"{article(scene.floor)} floor"


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def listed(names: list) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def on(place: str, word: str = "on") -> str:
    return f" {word} {place}" if place else ""


def time_of(scene: Scene, allowed: vocabulary.Slice) -> str:
    several = len(allowed.times_of_day) > 1
    return ", " + vocabulary.TIMES_OF_DAY[scene.time_of_day].phrase if several else ""
