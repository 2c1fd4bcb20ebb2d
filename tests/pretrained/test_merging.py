"""Merging of generators that were trained from the same weights."""

import jax
import numpy as np
import pytest

from seedance_jax.data.curation import filters
from seedance_jax.pretrained import lineage, merging, runs
from seedance_jax.training import checkpoint, run_directory

CONFIG = {"stage": "flow_matching", "model": {"width": 4}, "text": {"width": 2}}
METADATA = {
    "makes": "generator",
    "step": 0,
    "latent_channels": 48,
    "autoencoder": "latents",
    "vae_run": "vae",
    "buckets": [[1, 32, 32]],
    "fps": 12,
    "text_length": 8,
}


def params(seed):
    """A small tree of weights."""
    first, second = np.random.default_rng(seed).normal(size=(2, 3, 4)).astype(np.float32)
    return {"video": {"kernel": first}, "text": {"kernel": second}}


def make_run(path, weights, parent=None, config=CONFIG, **metadata):
    """A finished run of weights, trained from a parent."""
    path.mkdir()
    checkpoint.save_weights(path, weights)
    run_directory.write_json(path, "config.json", config)
    parents = {"init_from": lineage.parent(parent)} if parent else {}
    own = {"weights": lineage.weights_hash(weights), "parents": parents}
    run_directory.write_json(path, "metadata.json", METADATA | own | metadata)
    return runs.open_run(path, "generator")


@pytest.fixture
def family(tmp_path):
    """(parent, three runs that were trained from it)."""
    parent = make_run(tmp_path / "parent", params(0))
    return parent, [make_run(tmp_path / name, params(k), parent) for k, name in enumerate("abc", 1)]


def merged(family, tmp_path, method, **options):
    merging.merge_runs(family[1], method, tmp_path / "merged", **options)
    return checkpoint.load(tmp_path / "merged")


def equal(first, second, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), first, second)


def mean(weights):
    return jax.tree.map(
        lambda *leaves: np.average(leaves, axis=0, weights=weights), *map(params, (1, 2, 3))
    )


@pytest.mark.parametrize("method", ["uniform", "weighted", "greedy"])
def test_equal_weights_merge_to_themselves(tmp_path, method):
    parent = make_run(tmp_path / "parent", params(0))
    children = [make_run(tmp_path / name, params(1), parent) for name in "ab"]
    options = {"weights": (0.3, 0.7), "judge": lambda params: 0.5}
    found = merged((parent, children), tmp_path, method, **options)
    jax.tree.map(np.testing.assert_array_equal, found, params(1))


def test_the_mean_is_uniform_or_by_weights(family, tmp_path):
    equal(merged(family, tmp_path, "uniform"), mean(None), rtol=1e-5, atol=1e-6)
    found = merged((None, family[1]), tmp_path / "a", "weighted", weights=(0.5, 0.2, 0.3))
    equal(found, mean((0.5, 0.2, 0.3)), rtol=1e-5, atol=1e-6)


def test_task_arithmetic_adds_the_differences_from_the_parent(family, tmp_path):
    found = merged(family, tmp_path, "task_arithmetic", scale=0.25)
    added = jax.tree.map(lambda p, m: p + 0.25 * 3 * (m - p), params(0), mean(None))
    equal(found, added, rtol=1e-4, atol=1e-5)


def test_task_arithmetic_of_one_task_at_scale_1_is_that_task(tmp_path):
    parent = make_run(tmp_path / "parent", params(0))
    children = [
        make_run(tmp_path / "a", params(0), parent),
        make_run(tmp_path / "b", params(2), parent),
    ]
    equal(merged((parent, children), tmp_path, "task_arithmetic", scale=1.0), params(2), atol=1e-6)


def test_the_greedy_mean_keeps_what_makes_it_no_worse(family, tmp_path):
    wanted = mean((1, 0, 1))  # the second run is of no use

    def judge(found):
        squares = jax.tree.map(lambda a, b: float(((a - b) ** 2).sum()), found, wanted)
        return -sum(jax.tree.leaves(squares))

    found = merged(family, tmp_path, "greedy", judge=judge)
    equal(found, wanted, rtol=1e-5, atol=1e-6)
    said = run_directory.read_json(tmp_path / "merged", "metadata.json")["merged"]
    assert sorted(said["kept"]) == [str(tmp_path / "a"), str(tmp_path / "c")]
    with pytest.raises(ValueError, match="greedy chooses by a suite"):
        merging.merge_runs(family[1], "greedy", tmp_path / "other")


def test_a_merged_run_names_its_parents_and_is_drawn(family, tmp_path):
    merged(family, tmp_path, "uniform")
    run = runs.open_run(tmp_path / "merged", "generator")
    named = [one["run"] for one in run.metadata["parents"]["merged"]]
    assert named == [str(child.path) for child in family[1]]
    text = "\n".join(lineage.draw(run.path))
    for name in ("parent", "a", "b", "c"):
        assert f"{tmp_path / name}: " in text
    assert text.count("init_from: ") == 4
    assert run.metadata["weights"] in text.splitlines()[0]


def test_a_merged_run_is_there_when_it_is_whole_and_of_no_category(tmp_path, monkeypatch):
    parent = make_run(tmp_path / "parent", params(0))
    config = CONFIG | {"category": "falls", "name": "sft"}
    children = [make_run(tmp_path / name, params(1), parent, config, stopped="x") for name in "ab"]
    output = tmp_path / "merged"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_weights", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merging.merge_runs(children, "uniform", output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "parent"]
    merging.merge_runs(children, "uniform", output)
    found = runs.open_run(output, "generator")
    assert (found.config["name"], found.config["category"]) == ("merged", "")
    assert "stopped" not in found.metadata


@pytest.mark.parametrize(
    "texts", [("a < 0.5 and b > 0.5", "b < 0.2"), ("b < 0.2",) * 2, ("", "a < 1")]
)
def test_the_data_of_a_merged_run_are_those_of_any_of_its_parts(tmp_path, texts):
    parent = make_run(tmp_path / "parent", params(0))
    configs = [CONFIG | {"data": {"filter": text}} for text in texts]
    children = [
        make_run(tmp_path / name, params(1), parent, config)
        for name, config in zip("ab", configs, strict=True)
    ]
    merging.merge_runs(children, "uniform", tmp_path / "merged")
    found = runs.open_run(tmp_path / "merged", "generator").config["data"]["filter"]
    rows = dict(zip("ab", np.random.default_rng(0).uniform(size=(2, 50)), strict=True))

    def keeps(text):
        tree = filters.parse(text or "a < 1 or a >= 1", "ab", {}, "filter")
        return filters.evaluate(tree, rows)

    np.testing.assert_array_equal(keeps(found), np.any([keeps(text) for text in texts], axis=0))
    assert texts[0] != texts[1] or found == texts[0]


def test_a_parent_that_has_changed_or_is_gone_is_said(family, tmp_path):
    parent, (child, *_) = family
    changed = parent.metadata | {"weights": "other"}
    run_directory.write_json(parent.path, "metadata.json", changed)
    said = f"weights other; it was {parent.metadata['weights']} then"
    assert said in "\n".join(lineage.draw(child.path))
    (parent.path / "metadata.json").unlink()
    assert "parent is not there; it was weights" in "\n".join(lineage.draw(child.path))


def test_runs_without_a_common_parent_are_refused_by_name(family, tmp_path):
    parent, (first, second, _) = family
    stranger = make_run(tmp_path / "stranger", params(7), second)
    for other in (stranger, parent):
        message = f"did not start from the same weights:(.|\n)*{other.path}: "
        with pytest.raises(ValueError, match=message):
            merging.merge_runs([first, other], "uniform", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((0.5, 0.5), "one for each of 3 runs"),
        ((0.5, 0.4, 0.3), r"sum to 1, not 1\.2"),
        ((1.5, -0.5, 0.0), "must be 0 or more"),
        ((float("nan"), 0.5, 0.5), "sum to 1"),
    ],
)
def test_weights_that_are_none_are_refused(family, tmp_path, weights, message):
    with pytest.raises(ValueError, match=message):
        merging.merge_runs(family[1], "weighted", tmp_path / "merged", weights=weights)


def test_other_models_are_refused_with_what_differs(family, tmp_path):
    parent, (first, *_) = family
    wide = make_run(tmp_path / "wide", params(5), parent, CONFIG | {"model": {"width": 8}})
    with pytest.raises(ValueError, match="wide is another model than .*\n  model.width: 4 -> 8"):
        merging.merge_runs([first, wide], "uniform", tmp_path / "merged")
    other = make_run(tmp_path / "other", params(5), parent, autoencoder="else")
    with pytest.raises(ValueError, match="finished.autoencoder: 'latents' -> 'else'"):
        merging.merge_runs([first, other], "uniform", tmp_path / "merged")
    with pytest.raises(ValueError, match="two runs or more, got 1"):
        merging.merge_runs([first], "uniform", tmp_path / "merged")
