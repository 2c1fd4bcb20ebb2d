"""Filters of rows, as in `motion > 0.3 and not shaky`: parsed, never run as Python.

A filter is made of columns (numbers), numbers, < <= > >= == !=, `and`, `or`, `not`, parentheses and
labels, which are filters with a name. Where a row has no value of a column (NaN), every comparison
with it is false.
"""

import ast
import operator
from collections.abc import Iterable, Mapping

import numpy as np

from seedance_jax.data.rows import did_you_mean

COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
COMBINE = {ast.And: np.logical_and, ast.Or: np.logical_or}
LARGEST = 1e38  # number; columns are float32
LEGAL = "legal are columns, labels, numbers, < <= > >= == !=, and, or, not, and parentheses"


def parse(text: str, columns: Iterable[str], labels: Mapping[str, str], field: str) -> ast.expr:
    """The tree of a filter, in which labels are replaced by what they stand for.

    Args:
      columns: that it may name.
      labels: {name: filter of columns}.
      field: of the config, for messages.

    Raises:
      ValueError: it is no such expression, or names something else; the message has the legal ones.
    """
    columns, what = sorted(columns), f"data.{field}={text!r}"
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _condition(tree, columns, labels, what)
    except SyntaxError as error:
        raise ValueError(f"{what} cannot be read: {error.msg}; {LEGAL}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"{what} cannot be read: too many parts within each other") from None


def _condition(node, columns, labels, what):
    """`node`, where something must be true or false, with its labels replaced."""
    if isinstance(node, ast.BoolOp):
        parts = [_condition(part, columns, labels, what) for part in node.values]
        return ast.BoolOp(node.op, parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ast.UnaryOp(node.op, _condition(node.operand, columns, labels, what))
    if isinstance(node, ast.Compare) and all(type(op) in COMPARE for op in node.ops):
        for value in (node.left, *node.comparators):
            _check_value(value, columns, labels, what)
        return node
    if isinstance(node, ast.Name) and node.id in labels:
        return parse(labels[node.id], columns, {}, f"labels.{node.id}")
    if isinstance(node, ast.Name):
        _check_name(node.id, columns, labels, what)
        raise ValueError(f"{what}: {node.id} is a number; compare it, as in {node.id} > 0.5")
    raise ValueError(f"{what}: {ast.unparse(node)!r} is not true or false; {LEGAL}")


def _check_value(node, columns, labels, what):
    """Raises ValueError unless `node` is a column or a number."""
    if isinstance(node, ast.Name):
        if node.id in labels:
            raise ValueError(f"{what}: the label {node.id} is true or false, and not compared")
        _check_name(node.id, columns, labels, what)
    elif not _is_number(node):
        raise ValueError(f"{what}: {ast.unparse(node)!r} is neither a column nor a number; {LEGAL}")


def _is_number(node):
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return number and node.value < LARGEST


def _check_name(name, columns, labels, what):
    if name not in columns:
        hint = did_you_mean(name, [*columns, *labels])
        named = f"{', '.join(columns)}" + (f"; labels: {', '.join(labels)}" if labels else "")
        raise ValueError(f"{what}: no column {name!r}; {hint}legal columns: {named}")


def names(tree: ast.expr) -> set[str]:
    """The columns that a filter reads."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


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


def evaluate(tree: ast.expr, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows pass a filter, bool [rows], by their columns [rows]."""
    if isinstance(tree, ast.BoolOp):
        return COMBINE[type(tree.op)].reduce([evaluate(part, columns) for part in tree.values])
    if isinstance(tree, ast.UnaryOp):
        return ~evaluate(tree.operand, columns)
    values = [_value(node, columns) for node in (tree.left, *tree.comparators)]
    holds = np.ones(np.shape(next(iter(columns.values()))), bool)
    for op, left, right in zip(tree.ops, values[:-1], values[1:], strict=True):
        holds = holds & COMPARE[type(op)](left, right) & ~np.isnan(left) & ~np.isnan(right)
    return holds


def _value(node, columns):
    return columns[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)
