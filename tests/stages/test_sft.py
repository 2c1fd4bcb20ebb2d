"""Specialists: what their configs choose, and that there is something to choose at size smoke."""

import collections

import numpy as np
import pytest

from configs import base, continue_train, sft
from seedance_jax.data.curation import filters, selection, told
from seedance_jax.data.world import generate
from seedance_jax.data.world.spec import read_spec
from seedance_jax.stages import settings

SIZES = (*base.SIZES, "7b")
ALL = [(size, name) for size in SIZES for name in ("", *sft.categories(size))]


def config_of(size, category):
    return sft.get_config(f"{size},{category}" if category else size)


@pytest.mark.parametrize(("size", "category"), ALL)
def test_a_category_is_a_legal_filter_beside_that_of_continued_training(size, category):
    config, before = config_of(size, category), continue_train.get_config(size)
    assert (config.name, config.category) == ("sft", category)
    assert config.data.filter.startswith(f"{before.data.filter} and ")
    assert selection.parse(config.data.to_dict()) is not None
    assert config.tasks.to_dict() == before.tasks.to_dict()
    assert 0 < config.optimizer.peak_lr < before.optimizer.peak_lr
    assert config.num_steps < before.num_steps


def test_every_event_of_the_world_with_a_generator_is_in_a_category():
    trees = [parse(text) for text in sft.read_taxonomy().values()]
    named = set().union(*(filters.words(tree).get("event", set()) for tree in trees))
    assert named == set(told.WORDS["event"]) - {"rest", "episodes"}


def parse(text):
    return filters.parse(text, selection.COLUMNS, {}, "filter", selection.WORDS)


def test_an_unknown_category_is_refused_with_the_legal_ones():
    with pytest.raises(
        ValueError, match="no category 'fals' at size released; legal .*: falls, gr"
    ):
        sft.get_config("released,fals")
    with pytest.raises(ValueError, match="no category 'meetings' at size smoke; legal"):
        sft.get_config("smoke,meetings")
    with pytest.raises(ValueError, match="no category '' at size smoke"):
        sft.get_config("smoke,")
    with pytest.raises(ValueError, match="no size 'huge'"):
        sft.get_config("huge,falls")


def test_a_filter_that_does_not_choose_by_the_category_is_refused():
    config = config_of("tiny", "falls")
    config.vae_run = "runs/vae"
    for text in (config.data.filter, "falls", "not static and falls and motion > 0.5"):
        config.data.filter = text
        settings.check_values(config)
    for text in ("", "not static", "not falls", "falls or cuts", "ground and shots == 1"):
        config.data.filter = text
        with pytest.raises(ValueError, match="category='falls', but data.filter=.* 'and falls'"):
            settings.check_values(config)
    config.category = ""
    settings.check_values(config)


@pytest.mark.parametrize("line", ["falls", "falls:", "two words: shots > 1", "a: x > 1\na: x > 2"])
def test_a_line_that_is_no_category_is_refused(tmp_path, line):
    path = tmp_path / "taxonomy.txt"
    path.write_text(f"# a comment\n\ngood: shots == 1\n{line}\n")
    with pytest.raises(ValueError, match="is not `category: filter`"):
        sft.read_taxonomy(str(path))


def test_every_specialist_has_clips_at_size_smoke():
    world = sft.get_config("smoke").data.world.to_dict()
    spec = read_spec(world)
    rows = [told.score(generate("train", index, spec)) for index in range(world["train"])]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    kept = collections.Counter()
    for name, text in sft.categories("smoke").items():
        kept[name] = int(filters.evaluate(parse(text), columns).sum())
    assert len(kept) >= 4
    assert min(kept.values()) >= 3, kept
