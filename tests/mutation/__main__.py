"""Would the tests notice? `python -m tests.mutation --modules=diffusion/flow --count=20 --seed=0`

Takes a seeded sample of single-point mutants of each module and runs the module's tests against
each. Results go to a file of JSON lines as they come, and what is there is not run again: stop it
and start it as you like. `--report` prints the score of what is there; see README.md here.
"""

import argparse
import json
from pathlib import Path

from tests.mutation import report, runs, targets

PATIENCE = 4  # times what the tests take without a mutant, and
GRACE = 60  # seconds more, until a mutant counts as one that does not end


def main():
    options = parse()
    chosen = options.modules.split(",") if options.modules else list(targets.TARGETS)
    unknown = sorted(set(chosen) - set(targets.TARGETS))
    if unknown:
        raise SystemExit(f"no module {unknown}; legal modules: {list(targets.TARGETS)}")
    folder = Path(options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    broken = []
    if not options.report:
        runs.warm(folder / "jax")
        broken = [module for module in chosen if not examine(module, options, folder)]
    print(report.text(chosen, options, folder / "results.jsonl"))
    if broken:
        raise SystemExit(f"tests of {broken} fail without a mutant")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", default="", help="as diffusion/flow,models/rope; all if empty")
    parser.add_argument("--count", type=int, default=20, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--folder", default=".mutation", help="of results.jsonl and JAX's cache")
    parser.add_argument("--faults", action="store_true", help="those of faults.json, not a sample")
    parser.add_argument("--report", action="store_true", help="only prints what is known")
    return parser.parse_args()


def examine(module, options, folder):
    """Runs the tests against the mutants of a module that no result is known of.

    Returns whether the tests pass without a mutant; else none is run.
    """
    source, drawn = report.drawn(module, options)
    known = report.known(folder / "results.jsonl", module)
    stands = {digest for digest, record in known.items() if report.stands(record)}
    waiting = [mutant for mutant in drawn if mutant.digest not in stands]
    if not waiting:
        return True
    files, name = targets.test_files(module), (targets.dotted(module), targets.source_path(module))
    usual = runs.run(folder, name, source, files, limit=3600, trace=True)
    if usual.outcome != "survived":
        print(f"{module}: without a mutant {usual.outcome}, {usual.test or folder / 'log.txt'}")
        return False
    print(f"{module}: {len(usual.tests)} tests, {usual.seconds:.0f} s, {len(waiting)} mutants")
    for mutant in waiting:
        order, limit = by_use(usual.tests, mutant.line), GRACE + PATIENCE * usual.seconds
        result = runs.run(folder, name, mutant.source, files, limit, order)
        record = {
            "module": module,
            "digest": mutant.digest,
            "tests_digest": report.tests_digest(module),
            "outcome": result.outcome,
            "test": result.test,
            "seconds": round(result.seconds, 1),
            "operator": mutant.operator,
            "line": mutant.line,
            "before": mutant.before,
            "after": mutant.after,
        }
        with (folder / "results.jsonl").open("a") as stream:
            print(json.dumps(record), file=stream)
        print(f"  {result.outcome} {result.seconds:.1f} s  {mutant.line}: {mutant.after.strip()}")
    return True


def by_use(tests, line):
    """Order of test ids: first those that run a line, the cheapest file and test of them first."""
    cost = {}
    for test, (seconds, lines) in tests.items():
        key = (test.split("::")[0], line in lines)
        cost[key] = cost.get(key, 0) + seconds

    def key(test):
        seconds, lines = tests.get(test, (0.0, []))
        file, uses = test.split("::")[0], line in lines
        return (not uses, cost.get((file, uses), 0.0), file, seconds)

    return key


if __name__ == "__main__":
    main()
