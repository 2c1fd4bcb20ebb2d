"""The language of filters: what it says is what NumPy says, and it is nothing else."""

import ast

import numpy as np
import pytest

from seedance_jax.data.curation import filters

RNG = np.random.default_rng(0)
COLUMNS = {
    "motion": RNG.random(200),
    "shake": RNG.random(200),
    "num_frames": RNG.integers(1, 9, 200),
}
LABELS = {"shaky": "shake > 0.6", "slow": "motion < 0.2 or motion < 0.5 and num_frames > 5"}
M, S, N = COLUMNS.values()
SLOW = (M < 0.2) | ((M < 0.5) & (N > 5))


def parse(text, labels=LABELS):
    return filters.parse(text, COLUMNS, labels, "filter")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("motion > 0.3", M > 0.3),
        ("not shaky", S <= 0.6),
        ("motion > 0.3 and not shaky", (M > 0.3) & (S <= 0.6)),
        ("not slow and not (shaky or num_frames == 3)", ~SLOW & ~((S > 0.6) | (N == 3))),
        ("motion >= shake", M >= S),
        ("0.2 < motion <= 0.5", (M > 0.2) & (M <= 0.5)),
        ("num_frames != 4 or -1 > motion", N != 4),
        ("  (slow)\n", SLOW),
        ("motion > .3 and shake > .3 or num_frames < 2", (M > 0.3) & (S > 0.3) | (N < 2)),
    ],
)
def test_a_filter_selects_what_numpy_selects(text, wanted):
    assert 0 < wanted.sum() < 200
    np.testing.assert_array_equal(filters.evaluate(parse(text), COLUMNS), wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').remove('x')", "is not true or false"),
        ("open(0) > 3", "'open\\(0\\)' is neither a column nor a number"),
        ("motion.real > 3", "'motion.real' is neither"),
        ("motion[0] > 3", "is neither"),
        ("motion + 1 > 3", "is neither"),
        ("'a' > motion", "is neither"),
        ("True and shaky", "'True' is not true or false; legal are columns, labels"),
        ("motion > True", "is neither"),
        ("motion > 1j", "is neither"),
        ("motion > 1e400", "is neither"),
        ("motion > 1" + "0" * 400, "is neither"),
        ("motion > 1" + "0" * 5000, "cannot be read"),
        ("3", "is not true or false"),
        ("motion", "motion is a number; compare it, as in motion > 0.5"),
        ("not motion", "motion is a number"),
        ("motion > shaky", "the label shaky is true or false"),
        ("motion > 0.3 > not shaky", "cannot be read"),
        ("motion > (shaky and slow)", "is neither"),
        ("motion in (1, 2)", "is not true or false"),
        ("motion is 3", "is not true or false"),
        ("shaky if slow else shaky", "is not true or false"),
        ("lambda: shaky", "is not true or false"),
        ("(x := motion) > 3", "is neither"),
        ("shaky & slow", "is not true or false"),
        ("motion = 3", "cannot be read"),
        ("motion > 3; shaky", "cannot be read"),
        ("motion >", "cannot be read"),
        ("", "cannot be read"),
        ("motion > 3\0", "cannot be read"),
        ("(" * 3000 + "shaky" + ")" * 3000, "cannot be read"),
        ("not " * 50_000 + "shaky", "cannot be read"),
        (
            "motoin > 3",
            "no column 'motoin'; did you mean 'motion'\\? legal columns: motion, num_frames, "
            "shake; labels: shaky, slow",
        ),
        ("shaki", "no column 'shaki'; did you mean 'shaky'"),
    ],
)
def test_anything_else_is_refused_with_what_is_legal(text, said):
    with pytest.raises(ValueError, match=said) as error:
        parse(text)
    assert "data.filter=" in str(error.value)


def test_a_label_is_made_of_columns_alone_and_is_named_where_it_is_wrong():
    with pytest.raises(ValueError, match=r"data\.labels\.a='shaky': no column 'shaky'"):
        parse("a", {"a": "shaky", "shaky": "shake > 3"})


def test_a_row_without_a_value_fails_every_comparison():
    columns = {"motion": np.array([np.nan, 1.0])}
    for op in ("<", "<=", ">", ">=", "==", "!="):
        tree = filters.parse(f"motion {op} 0.5", columns, {}, "filter")
        assert not filters.evaluate(tree, columns)[0]


def test_labels_are_replaced_so_the_tree_says_what_rows_are_kept_by():
    tree = parse("motion > 0.3 and not shaky")
    assert ast.unparse(tree) == "motion > 0.3 and (not shake > 0.6)"
    assert filters.names(tree) == {"motion", "shake"}


def test_the_conditions_are_those_that_were_written():
    text = "motion > 0.3 and not shaky and (slow or shake < 0.2)"
    found = filters.conditions(text)
    assert found == ["motion > 0.3", "not shaky", "slow or shake < 0.2"]
    parts = [filters.evaluate(parse(part), COLUMNS) for part in found]
    np.testing.assert_array_equal(np.all(parts, 0), filters.evaluate(parse(text), COLUMNS))
    for part, passed in zip(found, parts, strict=True):
        against = filters.evaluate(parse(filters.negation(part)), COLUMNS)
        np.testing.assert_array_equal(against, ~passed)
    assert filters.negation("not shaky") == "shaky"
    assert filters.conditions("shaky") == ["shaky"]


WORDS = {"event": ("drop", "throw", "roll"), "label": ()}
EVENT = np.array([*WORDS["event"], ""])[RNG.integers(0, 4, 200)]
LABEL = np.array(["drop", "good one", ""])[RNG.integers(0, 3, 200)]
TEXTS = COLUMNS | {"event": EVENT, "label": LABEL}


def parse_text(text):
    return filters.parse(text, TEXTS, LABELS, "filter", WORDS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('event == "drop"', EVENT == "drop"),
        ("'drop' == event or event == 'throw'", (EVENT == "drop") | (EVENT == "throw")),
        ('event in ("drop", "throw")', (EVENT == "drop") | (EVENT == "throw")),
        ('event in ("drop",) and shaky', (EVENT == "drop") & (S > 0.6)),
        ('event not in ("drop", "throw")', EVENT == "roll"),
        ('event != "drop"', (EVENT != "drop") & (EVENT != "")),
        ('not event == "drop"', EVENT != "drop"),
        ('label != "good one"', LABEL == "drop"),
        ("event == label", (EVENT == LABEL) & (EVENT != "")),
        ("not label in ('drop', 'good one') and motion > 0.5", (LABEL == "") & (M > 0.5)),
    ],
)
def test_columns_of_text_are_compared_with_words(text, wanted):
    assert 0 < wanted.sum() < 200
    tree = parse_text(text)
    np.testing.assert_array_equal(filters.evaluate(tree, TEXTS), wanted)
    against = filters.evaluate(parse_text(filters.negation(ast.unparse(tree))), TEXTS)
    np.testing.assert_array_equal(against, ~wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "event == 'dorp'",
            "event is never 'dorp'; did you mean 'drop'\\? legal: drop, throw, roll",
        ),
        ("event in ('drop', 'fall')", "event is never 'fall'; .*legal: drop, throw, roll"),
        ("event == ''", "event is text, and compared with text in quotes by == or != or in, not"),
        ("event == 3", "event is text, .* not as in 'event == 3'"),
        ("event < 'drop'", "event is text, .* not as in "),
        ("event == drop", "event is text, .* not as in 'event == drop'"),
        ("event == motion", "event is text, .* not as in 'event == motion'"),
        (
            "event in 'drop'",
            "\"'drop'\" is not several words; .* as in event in \\('one', 'other'\\)",
        ),
        ("event in ('drop', 3)", "is not several words"),
        ("event in ()", "is not several words"),
        ("event", "event is text; compare it, as in event == 'word'"),
        ("motion == 'drop'", "'drop'\" is neither a column nor a number"),
        ("motion in ('drop', 'throw')", "is not true or false"),
        ("evnt == 'drop'", "no column 'evnt'; did you mean 'event'"),
        ("slow == 'drop'", "the label slow is true or false"),
    ],
)
def test_text_is_compared_with_legal_text_alone(text, said):
    with pytest.raises(ValueError, match=said):
        parse_text(text)


def test_the_words_of_a_filter_are_known_by_column():
    tree = parse_text("event in ('drop', 'roll') and (label == 'x' or event != 'throw' or shaky)")
    assert filters.words(tree) == {"event": {"drop", "roll", "throw"}, "label": {"x"}}
