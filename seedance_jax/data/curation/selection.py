"""Which rows of a data set the filter of a config keeps: `data.filter`, by its labels and scores.

    data.filter = "motion > 0.3 and not shaky and event in ('drop', 'throw')"
    data.labels = {"shaky": "shake > 0.3", ...}

names columns of `schema.TABLE` that are numbers, columns of the tables of scores, and labels.
"""

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seedance_jax.data import schema
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import filters, scores, told
from seedance_jax.data.remote import Place

OF_TABLES = tuple(name for name, dtype in schema.TABLE.items() if dtype is not str)
SCORER_OF = {column: name for name, own in schema.SCORES.items() for column in own}
SCORER_OF |= dict.fromkeys(schema.REVIEW, scores.REVIEW)
COLUMNS = (*OF_TABLES, *SCORER_OF)
# {column of text: words it may be compared with}; () where the rows of a data set say which.
WORDS = {column: told.WORDS.get(column, ()) for column in schema.TEXT_SCORES}


class Selection(NamedTuple):
    """A filter at the rows of a split.

    Attributes:
      passes: {condition as text: bool [rows]}; all must hold.
      identity: what rows are kept by: the filter without its labels, the hashes of its tables.
    """

    passes: dict[str, np.ndarray]
    identity: dict[str, Any]

    @property
    def kept(self) -> np.ndarray:
        """Which rows pass all conditions, bool [rows]."""
        return np.logical_and.reduce([*self.passes.values()])

    def among(self, rows: np.ndarray, what: Any = "") -> np.ndarray:
        """The places in `rows` of those that are kept, int64 [N]; ValueError if there are none.

        what: that the rows are of, for the message.
        """
        places = np.flatnonzero(self.kept[rows])
        if not len(places):
            counts = {text: int(passed[rows].sum()) for text, passed in self.passes.items()}
            raise ValueError(
                f"data.filter keeps none of {len(rows)} rows {what}; each of its conditions keeps "
                f"{counts}"
            )
        return places


def parse(data: Mapping[str, Any]) -> ast.expr | None:
    """The filter of a config; None if it has none. ValueError for an illegal filter or label."""
    labels = data.get("labels", {})
    for name in labels:
        parse_label(name, labels)
    if not data.get("filter", "").strip():
        return None
    return filters.parse(data["filter"], COLUMNS, labels, "filter", WORDS)


def parse_label(name: str, labels: Mapping[str, str]) -> ast.expr:
    """The filter that a label of a config stands for; ValueError if it is illegal."""
    if name in COLUMNS:
        raise ValueError(f"data.labels.{name}: a column has this name")
    return filters.parse(labels[name], COLUMNS, {}, f"labels.{name}", WORDS)


def scorers_of(trees: Sequence[ast.expr]) -> list[str]:
    """The scorers whose tables filters read."""
    named = {name for tree in trees for name in filters.names(tree)}
    return sorted({SCORER_OF[name] for name in named & {*SCORER_OF}})


def trees_of(data: Mapping[str, Any]) -> list[ast.expr]:
    """The labels and the filter of a config, as far as it has any; ValueError if one is illegal."""
    labels = data.get("labels", {})
    return [*(parse_label(name, labels) for name in labels), *filter(None, [parse(data)])]


def read_columns(
    trees: Sequence[ast.expr], directory: Place, split: str, data: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """({column: [rows]} that filters read, {scorer: hash of its table}) of a split of a data set.

    data: the data part of a config, which says where tables lie, and by which reviews.

    Raises ValueError if a table of scores is missing, or a text is compared with what no row says.
    """
    table = storage.open_split(directory, split).table
    columns, hashes = {name: table[name] for name in OF_TABLES}, {}
    for scorer in scorers_of(trees):
        found, hashes[scorer] = _open(directory, split, scorer, data)
        columns |= found
    for tree in trees:
        _check_words(tree, columns, f"{directory}, {split}")
    return columns, hashes


def _open(directory, split, scorer, data):
    """`scores.open_table` by a config."""
    reviews = data.get("reviews", "")
    if scorer == scores.REVIEW and not reviews:
        raise ValueError(
            f"data.reviews is not set, and {' and '.join(schema.REVIEW)} are columns of reviews: "
            "`score --reviews=FILE` makes a table of them and says how it is called"
        )
    return scores.open_table(directory, split, scorer, data["data_dir"], reviews)


def _check_words(tree, columns, where):
    """Raises ValueError if columns of any text are compared with what no row says."""
    for name, asked in filters.words(tree).items():
        there = sorted({*columns[name].tolist()} - {""})
        for word in asked if not WORDS[name] else ():
            filters.check_word(f"data.filter at {where}", name, word, there or ("nothing",))


def select(data: Mapping[str, Any], directory: Place, split: str) -> Selection | None:
    """The filter of a config at a split of a data set; None if it has none, which keeps all rows.

    Raises ValueError if it is illegal, or a table of scores is missing.
    """
    tree = parse(data)
    if tree is None:
        return None
    columns, hashes = read_columns([tree], directory, split, data)
    passes = {
        text: filters.evaluate(parse({**data, "filter": text}), columns)
        for text in filters.conditions(data["filter"])
    }
    return Selection(passes, {"keeps": ast.unparse(tree), "scores": hashes})
