import numpy as np
import pytest

from configs import pretrain
from seedance_jax.data.world import WorldSpec, generate, violations
from seedance_jax.evaluation.metrics import plausibility
from seedance_jax.sampling.pipeline import Pipeline

SPEC = WorldSpec(slice="tiny", version="1.3.0")


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.from_run()


@pytest.fixture(scope="module")
def pairs():
    return violations.make_pairs("disorder", SPEC, count=5)


def test_the_plausible_clip_is_the_one_of_the_world(pairs):
    record = generate("validation", 0, SPEC)
    assert pairs[0][0] == record["caption"]
    np.testing.assert_array_equal(pairs[1][0], record["frames"])
    assert pairs[3][0] == 0
    last = generate("validation", pairs[3][-1], SPEC)
    np.testing.assert_array_equal(pairs[1][-1], last["frames"])


@pytest.mark.parametrize("name", violations.VIOLATIONS)
def test_pairs_look_alike_but_for_the_object(name):
    _, plausible, implausible, indices = violations.make_pairs(name, SPEC, count=2)
    assert len(set(indices)) == 2
    change = np.abs(plausible.astype(int) - implausible).max(-1)  # [N, T, H, W]
    assert (change > 8).any((2, 3)).any(1).all()
    assert (change <= 2).mean() > 0.6  # floor and sky stay
    np.testing.assert_allclose(plausible.mean(), implausible.mean(), atol=6)


def test_a_violation_must_be_known():
    with pytest.raises(ValueError, match=r"violation='melt' is not one of \['disorder', 'hover'"):
        violations.make_pairs("melt", SPEC)
    data = pretrain.get_config("tiny").data.to_dict()
    assert violations.spec_of(data) == WorldSpec(slice="tiny")
    mixed = data | {"source": "folder:1,other:3", "other": {"source": "world", **data["world"]}}
    assert violations.spec_of(mixed) == WorldSpec(slice="tiny")
    with pytest.raises(ValueError, match="trained on data of 'folder:2'"):
        violations.spec_of(data | {"source": "folder:2"})


def test_the_released_weights_prefer_order_to_disorder(pipeline, pairs):
    found = plausibility.compare(pipeline, *pairs[1:3], pairs[0], batch_size=5)
    assert found["preferred"] == [True] * 5
    assert found["preference"][::3] == (1.0, 5)
    assert found["margin"].low > 0
    assert len(found["times"]) == len(found["preference_by_time"]) == plausibility.NUM_TIMES
    backwards = plausibility.compare(pipeline, *pairs[2:0:-1], pairs[0], batch_size=5)
    assert backwards["preference"].value == 0.0


def test_losses_depend_on_clip_prompt_and_seed_alone(pipeline, pairs):
    prompts, clips, *_ = pairs
    grid, seeds = [0.3, 0.8], np.arange(5, dtype=np.uint32)
    whole = pipeline.denoising_loss(clips, prompts, grid, seeds)
    assert whole.shape == (5, 2)
    order = [3, 1, 0, 4, 2]
    again = pipeline.denoising_loss(clips[order], [prompts[i] for i in order], grid, seeds[order])
    np.testing.assert_allclose(again, whole[order], rtol=1e-4)
    assert (pipeline.denoising_loss(clips, prompts, grid, seeds + 9) != whole).all()
    without = pipeline.denoising_loss(clips, None, grid, seeds)
    assert (without != whole).all()
    assert without.mean() > whole.mean()  # the caption helps
