"""Of the tool itself; what it finds is in README.md."""

import ast
import importlib.util
import json

import pytest

from tests.mutation import targets

if importlib.util.find_spec("cosmic_ray") is None:
    pytest.skip("needs the extra `dev`", allow_module_level=True)

from tests.mutation import mutants, report

SOURCE = '''"""At most 3."""
import logging

LIMIT: "int | None" = 3


def area(height: int = 2, *, width=4) -> "float | None":
    """At least 5."""
    if height < 0:
        raise ValueError(f"{height + 1} is below {0}")
    logging.info("%s", height + 6)
    return max([height * width, 7], key=abs)
'''


def test_a_mutant_differs_in_one_place_that_a_test_may_notice():
    drawn = mutants.sample(SOURCE, 1000, "0")
    assert len({mutant.source for mutant in drawn}) == len(drawn) > 10
    lines = SOURCE.splitlines()
    for mutant in drawn:
        ast.parse(mutant.source)
        changed = mutant.source.splitlines()
        assert [i for i in range(len(lines)) if lines[i] != changed[i]] == [mutant.line - 1]
        assert (lines[mutant.line - 1], changed[mutant.line - 1]) == (mutant.before, mutant.after)
    assert {mutant.line for mutant in drawn} == {4, 7, 9, 12}
    assert "    return max([height * width, 7])" in {mutant.after for mutant in drawn}


def test_words_and_annotations_are_not_what_a_mutant_is_known_by():
    said = SOURCE.replace("At least 5", "Of a rectangle").replace("height: int", "height")
    known = [mutant.digest for mutant in mutants.sample(SOURCE, 9, "0")]
    assert [mutant.digest for mutant in mutants.sample(f"# Here.\n{said}", 9, "0")] == known
    assert len(set(known)) == 9


def test_a_sample_is_that_of_its_seed_and_begins_as_a_larger_one():
    few, many, others = (mutants.sample(SOURCE, *draw) for draw in ((4, "0"), (9, "0"), (4, "1")))
    assert few == many[:4] != others
    assert len({mutant.line for mutant in mutants.sample(SOURCE, 8, "0")}) == 4


def test_what_is_no_python_is_not_drawn():
    source = "def both(a, b):\n    if c := {**a, **b}:\n        return c\n"
    drawn = mutants.sample(source, 100, "0")
    assert len({mutant.digest for mutant in drawn}) == len(drawn)


def test_a_number_that_one_more_does_not_change_is_not_drawn():
    drawn = mutants.sample("HIDDEN = -1e30\nLIMIT = 3\n", 100, "0")
    assert {mutant.after for mutant in drawn} == {"HIDDEN = 1e30", "LIMIT = 4", "LIMIT = 2"}


@pytest.mark.parametrize("module", targets.TARGETS)
def test_every_module_and_its_tests_are_there(module):
    for path in (
        targets.source_path(module),
        *map(targets.ROOT.joinpath, targets.test_files(module)),
    ):
        assert path.exists(), path


def test_faults_and_equivalent_mutants_are_of_known_modules():
    entries = [*json.loads(report.FAULTS.read_text()), *json.loads(report.EQUIVALENT.read_text())]
    assert set(entries) <= set(targets.TARGETS)


def test_a_fault_that_no_longer_fits_is_named():
    with pytest.raises(ValueError, match="'gone' is in 0 lines"):
        mutants.named(SOURCE, [("gone", "")])
