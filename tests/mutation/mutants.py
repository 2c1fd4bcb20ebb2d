"""Single-point mutants of a source file: cosmic-ray's operators, and one that drops an argument."""

import ast
import difflib
import hashlib
import random
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

# Replacements that leave code that can run: "<<" of two floats would raise in every test.
ARITHMETIC = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul")
OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in (*ARITHMETIC, "BitAnd_BitOr", "BitOr_BitAnd")),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt"),
            *("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is"),
        )
    ),
    *(f"ReplaceUnaryOperator_Delete_{name}" for name in ("USub", "Not", "Invert")),
    *("AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ExceptionReplacer", "ZeroIterationForLoop"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
)
IGNORED = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)


class Mutant(NamedTuple):
    """Where (lines from 1) and how a source was changed, and what it is then."""

    operator: str
    line: int
    before: str
    after: str
    source: str

    @property
    def digest(self) -> str:
        """Of what the source does: not of comments, docstrings and annotations."""
        return hashlib.sha256(essence(self.source).encode()).hexdigest()[:16]


def essence(source: str) -> str:
    """A source without comments, docstrings and annotations."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, ast.Constant(None))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.dump(tree)


def sample(source: str, count: int, seed: str) -> list[Mutant]:
    """Up to `count` mutants, at other places as long as there are; fewer are the first of more."""
    generator, same = random.Random(seed), ast.dump(ast.parse(source))
    places = mutations(source)
    rounds, drawn = [places[place] for place in sorted(places)], []
    generator.shuffle(rounds)
    while len(drawn) < count and rounds:
        for ways in rounds:
            made = mutant(source, *ways.pop(generator.randrange(len(ways))))
            drawn += [made] if is_other_python(made.source, same) else []
        rounds = [ways for ways in rounds if ways]
    return drawn[:count]


def is_other_python(source: str, dumped: str) -> bool:
    """Whether it can be read, and is not what was dumped.

    "not" before a name that is assigned, or "*" of a dict, cannot; 1e30 is one more than itself.
    """
    try:
        return ast.dump(ast.parse(source)) != dumped
    except SyntaxError:
        return False


def named(source: str, changes: list[tuple[str, str]]) -> list[Mutant]:
    """The mutants of changes written down as (before, after), each of one line.

    Raises:
      ValueError: a line that the source has not, or twice.
    """
    lines, made = source.split("\n"), []
    for before, after in changes:
        places = [number for number, line in enumerate(lines) if before in line]
        if len(places) != 1:
            raise ValueError(f"{before!r} is in {len(places)} lines, not in one; see faults.json")
        (at,) = places
        changed = lines[at].replace(before, after)
        text = "\n".join([*lines[:at], changed, *lines[at + 1 :]])
        made.append(Mutant("named", at + 1, lines[at], changed, text))
    return made


def mutations(source: str) -> dict[tuple, list[tuple]]:
    """{place: [(name of an operator, the mutated source)]} of what a test may notice."""
    places, hidden = {}, ignored(source)
    found = [*by_cosmic_ray(source), *without_keywords(source)]
    for place, name, change in found:
        if not any(start <= place < stop for start, stop in hidden):
            places.setdefault(place, []).append((name, change))
    return places


def by_cosmic_ray(source):
    """(place, name, function that returns the mutated source) of cosmic-ray's operators."""
    provider, nodes = OperatorProvider(), list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = provider[name]()
        spots = [(node, start) for node in nodes for start, _ in operator.mutation_positions(node)]
        for number, (node, start) in enumerate(spots):
            if node.parent is None or node.parent.type != "parameters":  # "*" of a signature
                yield start, name, lambda o=operator, n=number: mutate_code(source, o, n)


def without_keywords(source):
    """The same of calls that lose one of their keyword arguments."""
    for node in ast.walk(ast.parse(source)):
        for keyword in getattr(node, "keywords", []):
            if isinstance(node, ast.Call) and keyword.arg:
                yield begin(source, keyword), "DropKeyword", lambda k=keyword: cut(source, k)


def cut(source, keyword):
    """`source` without a keyword argument and the comma before or after it."""
    start, stop = (
        offset(source, place) for place in (begin(source, keyword), end(source, keyword))
    )
    head, tail = source[:start], source[stop:]
    if tail.lstrip().startswith(","):
        return head + tail.lstrip()[1:].lstrip(" ")
    head = head.rstrip()
    return head.removesuffix(",") + tail


def mutant(source, name, change):
    """The Mutant that a change makes."""
    changed = change()
    old, new = source.splitlines(), changed.splitlines()
    edits = difflib.SequenceMatcher(None, old, new, False).get_opcodes()
    edits = [edit for edit in edits if edit[0] != "equal"]
    start, stop, first, last = edits[0][1], edits[-1][2], edits[0][3], edits[-1][4]
    before, after = "\n".join(old[start:stop]), "\n".join(new[first:last])
    return Mutant(name, start + 1, before, after, changed)


def ignored(source: str) -> list[tuple]:
    """(start, stop) places of what no test is to notice: messages, log lines, annotations, imports
    and the strictness of zip, which says again that lengths are equal."""
    nodes = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr) or is_log(
            node
        ):
            nodes.append(node)
        nodes += [getattr(node, field, None) for field in ("annotation", "returns")]
        if isinstance(node, ast.keyword) and node.arg == "strict":
            nodes.append(node)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            nodes.append(node)
    return [(begin(source, node), end(source, node)) for node in nodes if node is not None]


def is_log(node):
    """Whether a node is the statement `logging.x(...)`."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func).startswith("logging.")


def begin(source, node):
    """(line, column) of a node's start, in characters; columns of `ast` are bytes."""
    return characters(source, node.lineno, node.col_offset)


def end(source, node):
    """(line, column) after a node."""
    return characters(source, node.end_lineno, node.end_col_offset)


def characters(source, line, column):
    """(line, column in characters) of a column in bytes."""
    return line, len(source.splitlines()[line - 1].encode()[:column].decode())


def offset(source, place):
    """Number of the character at (line, column)."""
    line, column = place
    return sum(map(len, source.splitlines(keepends=True)[: line - 1])) + column
