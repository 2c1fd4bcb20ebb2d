"""The captions of every size's world fit into what its generator reads."""

import functools
import itertools

import pytest

from configs import base, continue_train
from seedance_jax.data import schema, sources, transforms
from seedance_jax.data.world import stream, vocabulary
from seedance_jax.data.world.spec import read_spec
from seedance_jax.pretrained import text_encoder

SCENES = 12  # of each split

pytest.importorskip("mujoco", reason="the world is an extra")


@functools.cache
def rows(spec):
    """Records of scenes that are drawn and filmed, and not rendered."""
    places = itertools.product(vocabulary.SPLITS, range(SCENES))
    return [stream(*place, spec).record for place in places]


def worlds(config):
    """The worlds that a config trains on, in small pictures: captions do not tell of the size."""
    for world in sources.worlds_of(config.data.to_dict()):
        yield read_spec(world | {"height": 64, "width": 64})


@pytest.mark.parametrize("size", base.LARGER)
def test_captions_of_a_size_fit_its_generator(size):
    config = continue_train.get_config(size)  # reads the captions of motion, too
    for row in (row for spec in worlds(config) for row in rows(spec)):
        transforms.load_text(row, range(row["num_frames"]), config.data.text_length)
        transforms.load_motion_text(row, config.data.text_length)
        captions = schema.captions_of(row["caption"], schema.read_shots(row)).values()
        for texts in (captions, [schema.motion_of(row)]):
            text_encoder.check_words(texts, config.text.max_words)
