"""The shape of the package: which room imports which, and figures of its code.

    python -m tests.architecture [DIRECTORY]

prints them for the repository at DIRECTORY, by default this one; tests/test_architecture.py holds
them. Only the source is read, nothing is imported.
"""

import ast
import collections
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "seedance_jax"
# Imports go strictly down; within a room they are free.
FLOORS = {
    "sharding": 0,
    "models": 1,
    "diffusion": 1,
    "data": 1,
    "training": 1,
    "pretrained": 2,
    "sampling": 3,
    "stages": 4,
    "evaluation": 5,
    "performance": 5,
    "commands": 6,
    "__main__": 7,
}
# Of the standard library, what reads and writes paths of this machine alone.
LOCAL_LIBRARIES = {"fcntl", "glob", "pathlib", "shutil", "tempfile"}
LOCAL_FUNCTIONS = {
    f"os.{name}"
    for name in (
        *("link", "listdir", "makedirs", "mkdir", "open", "remove", "rename", "replace", "rmdir"),
        *("scandir", "stat", "symlink", "unlink", "walk"),
        *("path.abspath", "path.exists", "path.getsize", "path.isdir", "path.isfile"),
        *("path.islink", "path.realpath"),
    )
}
MEASURING = ("evaluation", "performance")
SELF = ("self", "cls")


def modules(root=ROOT):
    """{dotted name: file} of the package; a folder's is that of its __init__.py."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    return {name(path, root): path for path in files if path != root / PACKAGE / "__init__.py"}


def name(path, root=ROOT):
    """The dotted name of a file, that of its folder for __init__.py."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def room(dotted):
    """The room of the package that a dotted name belongs to."""
    return dotted.split(".")[1]


def imports(path):
    """Full dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def local_names(path):
    """What a file uses that knows no buckets: libraries, `open`, and functions of os."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & LOCAL_LIBRARIES
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & {*LOCAL_FUNCTIONS, "os.path"} | {node.module} & LOCAL_LIBRARIES
        elif isinstance(node, ast.Attribute):
            found |= {ast.unparse(node)} & LOCAL_FUNCTIONS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= {node.func.id} & {"open"}
    return found


def graph(found):
    """{module: the modules of the package that it imports}, of those that `modules` found."""
    return {module: uses(path, found) for module, path in found.items()}


def uses(path, found):
    """The modules of the package that a file imports: those it names, or takes names from."""
    names = imports(path)
    return {n if n in found else n.rpartition(".")[0] for n in names} & found.keys()


def closure(roots, arrows):
    """All modules that importing `roots` runs: those of folders too, and so on."""
    seen, left = set(), list(roots)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            parent = module.rpartition(".")[0]
            left += [*arrows[module], *({parent} & arrows.keys())]
    return seen


def within(prefix, names):
    """The set of the names that are `seedance_jax.<prefix>` or below."""
    full = f"{PACKAGE}.{prefix}"
    return {one for one in names if one == full or one.startswith(f"{full}.")}


def lines(path):
    """How many a file has."""
    return len(path.read_text().splitlines())


def functions(path):
    """[(name, lines, arguments)] of a file; self and cls are no arguments."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            a = node.args
            given = [one.arg for one in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
            count = len([one for one in given if one not in SELF])
            found.append((node.name, node.end_lineno - node.lineno + 1, count))
    return found


def unannotated(path):
    """The public functions of a file whose arguments or result have no annotation."""
    tree, found = ast.parse(path.read_text()), []
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for scope in scopes for node in scope.body):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            a = node.args
            given = [one for one in (*a.posonlyargs, *a.args, *a.kwonlyargs) if one.arg not in SELF]
            if node.returns is None or not all(one.annotation for one in given):
                found.append(node.name)
    return found


def clashes(found):
    """{last part of a name: modules} that several modules share; commands are no modules to use."""
    last = collections.defaultdict(list)
    for module in found:
        if room(module) != "commands":
            last[module.rpartition(".")[2]].append(module)
    return {part: names for part, names in last.items() if len(names) > 1}


def share_of_measuring(found):
    """Which part of all lines is evaluation and performance."""
    size = {module: lines(path) for module, path in found.items()}
    measuring = sum(size[module] for module in size if room(module) in MEASURING)
    return measuring / sum(size.values())


def report(root):
    """Yields lines of text."""
    found = modules(root)
    arrows = graph(found)
    size = collections.Counter()
    for module, path in found.items():
        size[room(module)] += lines(path)
    order = sorted(size, key=lambda one: (-FLOORS.get(one, 99), one))
    yield f"{len(size)} rooms, {len(found)} modules, {sum(size.values()):,} lines"
    between = collections.Counter(
        (room(module), room(other)) for module in arrows for other in arrows[module]
    )
    for one in order:
        down = ", ".join(f"{o} {between[one, o]}" for o in order if o != one and between[one, o])
        floor = FLOORS.get(one, "-")
        yield f"{floor:>3} {one:12} {size[one]:6,} lines  -> {down or 'nothing'}"
    upward = [f"{a} -> {b}" for a, b in between if a != b and FLOORS.get(a, 0) <= FLOORS.get(b, 0)]
    yield f"imports that do not go down: {', '.join(sorted(upward)) or 'none'}"
    yield f"evaluation + performance: {100 * share_of_measuring(found):.1f} % of the lines"
    yield from figures(found, root)


def figures(found, root):
    """Yields lines about functions and files."""
    named = [(path, *function) for path in found.values() for function in functions(path)]
    lengths = sorted(length for _, _, length, _ in named)
    p99 = lengths[int(0.99 * (len(lengths) - 1))]
    yield (
        f"{len(lengths)} functions: median {statistics.median(lengths):.0f} lines, "
        f"p99 {p99}, longest {lengths[-1]}"
    )
    many = [(f"{p.relative_to(root / PACKAGE)}:{n}", a) for p, n, _, a in named if a > 7]
    yield f"functions with more than 7 arguments: {len(many)}"
    yield from (f"    {where} {count}" for where, count in many)
    bare = [name for path in found.values() for name in unannotated(path)]
    yield f"public functions that are not annotated: {len(bare)}"
    long = [(lines(path), path.relative_to(root / PACKAGE)) for path in found.values()]
    long = sorted(((count, path) for count, path in long if count > 300), reverse=True)
    yield f"files over 300 lines: {len(long)}"
    yield from (f"    {path} {count}" for count, path in long)
    yield "modules of one name:"
    yield from (f"    {', '.join(names)}" for names in clashes(found).values())


if __name__ == "__main__":
    print(*report(Path(sys.argv[1]) if sys.argv[1:] else ROOT), sep="\n")
