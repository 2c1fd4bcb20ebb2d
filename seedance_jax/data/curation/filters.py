"""Filters of rows, as in `motion > 0.3 and not shaky`: parsed, never run as Python.

A filter is made of columns, numbers, < <= > >= == !=, `and`, `or`, `not`, parentheses and labels,
which are filters with a name. Columns of text are compared by == != with text in quotes, or by `in`
with several: `event in ("drop", "throw")`. Where a row has no value of a column (NaN, or no text),
every comparison with it is false.
"""

import ast
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seedance_jax.data.rows import did_you_mean, some

COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
EQUAL = (ast.Eq, ast.NotEq)  # the comparisons of text
AMONG = {ast.In: np.isin, ast.NotIn: lambda *sides: ~np.isin(*sides)}
COMBINE = {ast.And: np.logical_and, ast.Or: np.logical_or}
LARGEST = 1e38  # number; columns are float32
LEGAL = (
    "legal are columns, labels, numbers, < <= > >= == !=, text in quotes, in, and, or, not, and "
    "parentheses"
)


class Names(NamedTuple):
    """What a filter may name, and what it is called in messages.

    words: {column of text: the words it may be compared with, () for any}.
    """

    columns: list[str]
    labels: Mapping[str, str]
    words: Mapping[str, Collection[str]]
    what: str


def parse(
    text: str,
    columns: Iterable[str],
    labels: Mapping[str, str],
    field: str,
    words: Mapping[str, Collection[str]] | None = None,
) -> ast.expr:
    """The tree of a filter, in which labels are replaced by what they stand for.

    Args:
      columns: that it may name.
      labels: {name: filter of columns}.
      field: of the config, for messages.
      words: {column of text: the words it may be compared with, () for any}.

    Raises:
      ValueError: it is no such expression, or names something else; the message has the legal ones.
    """
    legal = Names(sorted(columns), labels, words or {}, f"data.{field}={text!r}")
    try:
        return _condition(ast.parse(text.strip(), mode="eval").body, legal)
    except SyntaxError as error:
        raise ValueError(f"{legal.what} cannot be read: {error.msg}; {LEGAL}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{legal.what} cannot be read: too many parts within each other") from None


def _condition(node, legal):
    """`node`, where something must be true or false, with its labels replaced."""
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(node.op, [_condition(part, legal) for part in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ast.UnaryOp(node.op, _condition(node.operand, legal))
    if isinstance(node, ast.Compare) and _is_among(node, legal):
        return node
    if isinstance(node, ast.Compare) and all(type(op) in COMPARE for op in node.ops):
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides[:-1], sides[1:], strict=True):
            _check_sides(op, left, right, legal)
        return node
    if isinstance(node, ast.Name) and node.id in legal.labels:
        label = f"labels.{node.id}"
        return parse(legal.labels[node.id], legal.columns, {}, label, legal.words)
    if isinstance(node, ast.Name):
        _check_name(node.id, legal)
        kind, example = ("text", "== 'word'") if node.id in legal.words else ("a number", "> 0.5")
        raise ValueError(
            f"{legal.what}: {node.id} is {kind}; compare it, as in {node.id} {example}"
        )
    raise ValueError(f"{legal.what}: {ast.unparse(node)!r} is not true or false; {LEGAL}")


def _is_among(node, legal):
    """Whether a comparison is that of a column of text with several words by `in`."""
    left, ops, (right, *_) = node.left, node.ops, node.comparators
    if len(ops) > 1 or type(ops[0]) not in AMONG or not _is_text(left, legal):
        return False
    if not (isinstance(right, ast.Tuple) and right.elts and all(map(_word, right.elts))):
        raise ValueError(
            f"{legal.what}: {ast.unparse(right)!r} is not several words; in wants words in "
            f"parentheses, as in {left.id} in ('one', 'other')"
        )
    for part in right.elts:
        check_word(legal.what, left.id, _word(part), legal.words[left.id])
    return True


def _check_sides(op, left, right, legal):
    """Raises ValueError unless the two sides may be compared: two numbers, or text with text."""
    text = [side for side in (left, right) if _is_text(side, legal)]
    if not text:
        for side in (left, right):
            _check_number(side, legal)
        return
    other = left if right is text[0] else right
    if type(op) not in EQUAL or not (_word(other) or _is_text(other, legal)):
        raise ValueError(
            f"{legal.what}: {text[0].id} is text, and compared with text in quotes by == or != or "
            f"in, not as in {ast.unparse(ast.Compare(left, [op], [right]))!r}"
        )
    if _word(other):
        check_word(legal.what, text[0].id, _word(other), legal.words[text[0].id])


def check_word(what: str, column: str, word: str, legal: Collection[str]) -> None:
    """Raises ValueError unless a column of text may be compared with a word; legal: () for any."""
    if legal and word not in legal:
        hint = did_you_mean(word, legal)
        raise ValueError(f"{what}: {column} is never {word!r}; {hint}legal: {some([*legal])}")


def _is_text(node, legal):
    return isinstance(node, ast.Name) and node.id in legal.words


def _word(node):
    """The text of a constant that is some; "" of other nodes."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _check_number(node, legal):
    """Raises ValueError unless `node` is a column of numbers or a number."""
    if isinstance(node, ast.Name):
        if node.id in legal.labels:
            raise ValueError(
                f"{legal.what}: the label {node.id} is true or false, and not compared"
            )
        _check_name(node.id, legal)
    elif not _is_number(node):
        raise ValueError(
            f"{legal.what}: {ast.unparse(node)!r} is neither a column nor a number; {LEGAL}"
        )


def _is_number(node):
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return number and node.value < LARGEST


def _check_name(name, legal):
    if name not in legal.columns:
        hint = did_you_mean(name, [*legal.columns, *legal.labels])
        labels = f"; labels: {', '.join(legal.labels)}" if legal.labels else ""
        raise ValueError(
            f"{legal.what}: no column {name!r}; {hint}legal columns: {', '.join(legal.columns)}"
            f"{labels}"
        )


def names(tree: ast.expr) -> set[str]:
    """The columns that a filter reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def words(tree: ast.expr) -> dict[str, set[str]]:
    """{column of text: the words that a filter compares it with}."""
    found: dict[str, set[str]] = {}
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
        parts = [part for side in (node.left, *node.comparators) for part in _parts(side)]
        said = {_word(part) for part in parts} - {""}
        for name in (part.id for part in parts if said and isinstance(part, ast.Name)):
            found.setdefault(name, set()).update(said)
    return found


def _parts(side):
    return side.elts if isinstance(side, ast.Tuple) else [side]


def conditions(text: str) -> list[str]:
    """The parts of a filter all of which must hold, as they were written."""
    tree = ast.parse(text.strip(), mode="eval").body
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    return [ast.unparse(part) for part in parts]


def negation(text: str) -> str:
    """What holds where a condition does not, in words of the language."""
    tree = ast.parse(text, mode="eval").body
    if isinstance(tree, ast.UnaryOp):
        return ast.unparse(tree.operand)
    return ast.unparse(ast.UnaryOp(ast.Not(), tree))


def any_of(texts: Sequence[str]) -> str:
    """The filter of the rows that any of these keeps; "" keeps all."""
    if "" in texts:
        return ""
    first, *others = dict.fromkeys(texts)
    return " or ".join(f"({text})" for text in (first, *others)) if others else first


def evaluate(tree: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows pass a filter, bool [rows], by their columns [rows]."""
    if isinstance(tree, ast.BoolOp):
        return COMBINE[type(tree.op)].reduce([evaluate(part, columns) for part in tree.values])
    if isinstance(tree, ast.UnaryOp):
        return ~evaluate(tree.operand, columns)
    values = [_value(node, columns) for node in (tree.left, *tree.comparators)]
    if type(tree.ops[0]) in AMONG:
        return AMONG[type(tree.ops[0])](*values) & _is_there(values[0])
    holds = np.ones(np.shape(next(iter(columns.values()))), bool)
    for op, left, right in zip(tree.ops, values[:-1], values[1:], strict=True):
        holds = holds & COMPARE[type(op)](left, right) & _is_there(left) & _is_there(right)
    return holds


def _value(node, columns):
    return columns[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


def _is_there(values):
    """Where values are known: not NaN, some text."""
    return values != "" if np.asarray(values).dtype.kind == "U" else ~np.isnan(values)
