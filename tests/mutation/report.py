"""What is known of mutants, and the score of the tests with its interval."""

import hashlib
import json
from pathlib import Path

from seedance_jax.evaluation.metrics.intervals import wilson
from tests.mutation import mutants, targets

FAULTS = Path(__file__).with_name("faults.json")
EQUIVALENT = Path(__file__).with_name("equivalent.json")


def drawn(module: str, options) -> tuple[str, list]:
    """The source of a module, and its sampled or named mutants."""
    source = targets.source_path(module).read_text()
    if options.faults:
        changes = json.loads(FAULTS.read_text()).get(module, [])
        return source, mutants.named(source, changes)
    return source, mutants.sample(source, options.count, f"{options.seed}:{module}")


def tests_digest(module: str) -> str:
    """Of the text of a module's test files."""
    text = "".join((targets.ROOT / path).read_text() for path in targets.test_files(module))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known(path: Path, module: str) -> dict[str, dict]:
    """{digest of a mutant: its last result}."""
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    return {record["digest"]: record for record in records if record["module"] == module}


def stands(record: dict) -> bool:
    """Whether a result is one of the tests as they are; a survivor's is not once they change."""
    return record["outcome"] != "survived" or record["tests_digest"] == tests_digest(
        record["module"]
    )


def reason(module: str, record: dict) -> str | None:
    """Why a survivor changes nothing that can be seen, if the list says so."""
    change = [record["before"].strip(), record["after"].strip()]
    for before, after, why in json.loads(EQUIVALENT.read_text()).get(module, []):
        if change == [before, after]:
            return why
    return None


def text(modules: list[str], options, path: Path) -> str:
    """A Markdown table of scores, then the survivors of the sample.

    Survivors whose tests have changed since count as such until they are run again.
    """
    rows, survivors, total = [], [], [0, 0]
    for module in modules:
        results = known(path, module)
        sample = drawn(module, options)[1]
        found = [results[mutant.digest] for mutant in sample if mutant.digest in results]
        left = [record for record in found if record["outcome"] == "survived"]
        same = [record for record in left if reason(module, record)]
        survivors += [record for record in left if record not in same]
        waiting = sum(not stands(record) for record in left if record not in same)
        noticed, count = len(found) - len(left), len(found) - len(same)
        total = [total[0] + noticed, total[1] + count]
        whole = f"{len(found)} of {len(sample)}"
        rows.append(row(f"`{module}`", whole, len(same), waiting, noticed, count))
    head = "| module | mutants run | equivalent | to run again | noticed | 95 % interval |"
    head += "\n|---|---|---|---|---|---|"
    everything = row("all", "", "", "", *total)
    return "\n".join([head, *rows, everything, "", *map(shown, survivors)])


def row(name, drawn, same, waiting, noticed, count):
    """A row of the table; the share is of those that are not equivalent."""
    found = wilson(noticed, count)
    interval = f"{found[0]:.0%} ({found[1]:.0%} to {found[2]:.0%})" if found else "not run"
    return f"| {name} | {drawn} | {same} | {waiting} | {noticed} of {count} | {interval} |"


def shown(record):
    """A survivor as a difference."""
    head = f"{record['module']}:{record['line']} {record['operator']}"
    head += "" if stands(record) else ", of tests that have changed since"
    sides = [(sign, record[side]) for sign, side in (("-", "before"), ("+", "after"))]
    return "\n".join([head, *(sign + line for sign, lines in sides for line in lines.split("\n"))])
