import collections

import pytest

from seedance_jax.data.world import WorldSpec, generate, kinds
from seedance_jax.data.world.showing import expected_scene

SPEC = WorldSpec(9, 32, 32, 6, "plain")


@pytest.mark.parametrize("kind_of", [kinds.by_event, kinds.by_path, kinds.two_shots])
def test_kinds_come_equally_often_and_in_order(kind_of):
    count = 11
    drawn = list(kinds.draw_evenly("validation", kind_of, SPEC, range(500), count))
    assert len(drawn) == count
    indices = [index for index, _, _ in drawn]
    assert indices == sorted(set(indices))
    often = collections.Counter(kind_of(scene) for _, _, scene in drawn)
    assert None not in often
    assert len(often) == min(kinds.num_kinds(kind_of, SPEC), count)
    assert max(often.values()) - min(often.values()) <= 1
    index, row, scene = drawn[-1]
    assert scene == expected_scene(generate("validation", index, SPEC))
    assert row["caption"]


def test_what_is_not_there_is_not_drawn():
    drawn = kinds.draw_evenly("validation", lambda scene: None, SPEC, range(3), 2)
    assert not list(drawn)
