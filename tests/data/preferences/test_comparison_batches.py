"""A batch is a function of seed, step and config; which clip comes first is drawn."""

import numpy as np
import pytest

from seedance_jax.data import loader
from seedance_jax.data.preferences import comparison_batches, comparisons, mixtures
from seedance_jax.data.tokenizer import BYTES

SHAPES = {"clips": (4, 2, 13, 32, 32, 3), "text": (4, 2, 256), "text_mask": (4, 2, 256)}
SHAPES |= {"good": (4, 2)}
SHAPES |= dict.fromkeys(("label", "dimension", "source", "kind", "severity"), (4,))


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
        for name in one
    )


def test_batches_have_the_form_that_is_told(data, preferences):
    dataset = comparison_batches.open_training(data, preferences, seed=0)
    shapes = [{name: array.shape for name, array in dataset[step].items()} for step in range(6)]
    assert SHAPES in shapes
    small = {name: (2, *shape[1:]) for name, shape in SHAPES.items()}
    assert small | {"clips": (2, 2, 5, 16, 16, 3)} in shapes
    types = {name: array.dtype.name for name, array in dataset[0].items()}
    floats = dict.fromkeys(("label", "good", "severity"), "float32")
    ints = dict.fromkeys(("text", "dimension", "source", "kind"), "int32")
    assert types == {"clips": "uint8", "text_mask": "bool"} | floats | ints


def test_a_batch_is_a_function_of_seed_and_step(data, preferences):
    one = comparison_batches.open_training(data, preferences, seed=3)
    ahead = [one[step] for step in range(5)]
    again = comparison_batches.open_training(data, preferences, seed=3)
    assert equal(again[4], ahead[4])
    assert equal(again[1], ahead[1])
    other = comparison_batches.open_training(data, preferences, seed=4)
    assert not all(equal(other[step], ahead[step]) for step in range(5))


def test_workers_in_other_processes_make_the_same_batches(data, preferences):
    dataset = comparison_batches.open_training(data, preferences, seed=3)
    iterator = loader.make_iterator(dataset, 2, num_workers=1)
    try:
        assert equal(next(iterator), dataset[2])
        assert equal(next(iterator), dataset[3])
    finally:
        iterator.close()


def test_processes_share_a_batch(data, preferences):
    whole = comparison_batches.open_training(data, preferences, seed=1)
    parts = [
        comparison_batches.open_training(data, preferences, seed=1, part=(k, 2)) for k in range(2)
    ]
    for step in range(3):
        halves = [part[step] for part in parts]
        joined = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}
        assert equal(joined, whole[step])
    with pytest.raises(ValueError, match="part 0 of 3 parts of a batch of 4"):
        comparison_batches.open_training(data, preferences, seed=1, part=(0, 3))


def test_both_orders_come_and_the_label_goes_with_them(data, preferences):
    data = data | {"buckets": data["buckets"][:1]}
    preferences = preferences | {"source": "edits"}
    dataset, orders = comparison_batches.open_training(data, preferences, seed=0), set()
    scenes = mixtures.open_scenes(data, preferences, "train").scenes
    told = {(edit["true"], edit["caption"]) for scene in scenes for edit in scene["edits"]}
    for step in range(6):
        batch = dataset[step]
        for text, mask, label, good in zip(
            batch["text"], batch["text_mask"], batch["label"], batch["good"], strict=True
        ):
            first, second = (BYTES.decode(ids[own]) for ids, own in zip(text, mask, strict=True))
            assert ((first, second) if label else (second, first)) in told
            assert good.tolist() == [label, 1 - label]
            orders.add(float(label))
    assert orders == {0.0, 1.0}


def test_sources_come_by_their_weights(data, preferences):
    preferences = preferences | {"source": "severities:3,edits:1"}
    dataset = comparison_batches.open_training(data, preferences, seed=0)
    drawn = np.concatenate([dataset[step]["source"] for step in range(12)])
    assert (drawn == 0).sum() == 3 * (drawn == 1).sum()
    kinds = np.concatenate([dataset[step]["kind"] for step in range(12)])
    edits = np.char.startswith(np.array(comparisons.KINDS)[kinds], "edit_")
    assert np.array_equal(edits, drawn == 1)


def test_one_axis_alone(data, preferences):
    preferences = preferences | {"source": "severities", "dimensions": ("aesthetic_quality",)}
    dataset = comparison_batches.open_training(data, preferences, seed=0)
    number = comparisons.DIMENSIONS.index("aesthetic_quality")
    assert all((dataset[step]["dimension"] == number).all() for step in range(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "severities,melt"}, "preferences.source: 'melt' is not one of"),
        ({"source": "edits:0"}, "preferences.source='edits:0': the weight '0' is no positive"),
        ({"source": "edits,"}, "preferences.source='edits,' has an empty name"),
        ({"dimensions": ("sound",)}, "dimension 'sound' is not one of"),
        ({"dimensions": ()}, "name one or more of the dimensions"),
        ({"severities": {"kind": 1}}, r"severities has \['kind'\]; it needs \[\], and may have"),
        ({"source": "votes"}, r"preferences.votes has \[\]; it needs \['path', 'contradict"),
        ({"scenes": {"train": 7}}, "(?s)no complete scenes in .*build_pairs --config"),
        ({"scenes": {"trains": 7}}, r"preferences.scenes: \['trains'\]; legal"),
        ({"scenes": {"kinds": ("stagnate",)}}, "'stagnate' is kept from all training data"),
    ],
)
def test_bad_configs_are_refused_before_anything_is_trained(data, preferences, change, message):
    with pytest.raises(ValueError, match=message):
        comparison_batches.open_training(data, preferences | change, seed=0)


def test_prompts_that_do_not_fit_are_refused(data, preferences):
    with pytest.raises(ValueError, match="severities: text_length=20 is too short for 'A "):
        comparison_batches.open_training(data | {"text_length": 20}, preferences, seed=0)


def test_a_report_counts_what_there_is(data, preferences):
    opened = mixtures.open_sources(data, preferences)
    lines = mixtures.report(opened)
    assert len(lines) == 4
    assert all("pairs: " in line for line in lines)
    assert [mixtures.pair_spec(data, {"scenes": {"train": 0, "kinds": ["stagnate"]}}).splits] == [
        {"validation": 2}
    ]
