import numpy as np
import pytest

from seedance_jax.data.world import WorldSpec, generate, states


@pytest.fixture(scope="module")
def record():
    """A clip of which the camera pans to the left."""
    clips = (
        generate("validation", index, WorldSpec(slice="tiny", version="1.3.0"))
        for index in range(24)
    )
    return next(clip for clip in clips if '"pan left"' in clip["scene"])


def test_states_are_those_of_the_records(record):
    names, numbers = states.read_state(record)
    assert states.KINDS["camera"][names["camera"]] == "pan left"
    assert states.KINDS["color"][names["color"]] in record["caption"]
    assert numbers["view"][:, 0].min() > 0.3  # what stands still goes to the right
    assert np.abs(numbers["zoom"]).max() < 0.1
    assert all(np.abs(value).max() <= 3.0 for value in numbers.values())


def test_a_mirror_turns_pictures_and_words(record):
    names, numbers = states.read_state(record)
    told = {name: np.stack([value]) for name, value in (names | numbers).items()}
    chosen = np.array([True])
    frames, turned = states.mirror(record["frames"][None], told, chosen)
    np.testing.assert_array_equal(frames[0], record["frames"][:, :, ::-1])
    assert states.KINDS["camera"][turned["camera"][0]] == "pan right"
    np.testing.assert_array_equal(turned["view"][..., 0], -told["view"][..., 0])
    again = states.mirror(frames, turned, chosen)
    np.testing.assert_array_equal(again[0][0], record["frames"])
    for name in told:
        np.testing.assert_array_equal(again[1][name], told[name])
