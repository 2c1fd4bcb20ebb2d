"""Scores the clips of a config once, so that `data.filter` can choose by the scores.

    python -m seedance_jax score --config=configs/vae.py:tiny --output=dropped.png

writes tables of scores beside the data sets of all sources, unless they are there, and shows what
the filter of the config drops and why (without a filter: what its labels find): a sheet of clips,
and a report (JSON), which it also prints. Where the synthetic world says which clips are flawed,
the report has the precision and the recall of the labels. Besides the default scorers those are
run that the filter or a label of the config needs.

    python -m seedance_jax score --config=configs/vae.py:tiny --reviews=reviews.jsonl

makes a table of what people decided on the page of `review`, too, and says how it is called.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.data import sources
from seedance_jax.data.builders import storage
from seedance_jax.data.curation import dropped, reviews, scores, selection
from seedance_jax.sampling import media

CONFIG = config_flags.DEFINE_config_file("config", help_string="The config whose data to score.")
OUTPUT = cli.define_path("output", "dropped.png", "The sheet; the report goes beside it.")
SPLIT = flags.DEFINE_string("split", "train", "The split; others than train of the first source.")
SCORERS = flags.DEFINE_list("scorers", [*scores.DEFAULT], f"Of {', '.join(scores.SCORERS)}.")

REVIEWS = cli.define_path("reviews", None, "File of `review`: makes a table of its decisions.")


def scorers_of(data: dict) -> list[str]:
    """--scorers, or by default also those that the config needs."""
    more = [] if SCORERS.present else selection.scorers_of(selection.trees_of(data))
    return [*dict.fromkeys([*SCORERS.value, *(name for name in more if name in scores.SCORERS)])]


def score_source(name: str, data: dict) -> tuple[list, dict]:
    """Scores one source; returns (titles and frames of what is dropped, report)."""
    directory = sources.locate(data)
    options = (data["data_dir"], data["num_processes"])
    for place in scores.build(directory, SPLIT.value, scorers_of(data), *options):
        print(place)
    judged = dropped.judge(data, directory, SPLIT.value)
    report = dropped.make_report(judged)
    print(f"{name}, {SPLIT.value}: {dropped.format_report(report)}")
    return [*dropped.examples(judged, storage.open_split(directory, SPLIT.value))], report


def add_reviews(named: dict[str, dict]) -> dict[str, dict]:
    """The data parts of all sources, which read the tables that are made of --reviews."""
    directories = [sources.locate(data) for data in named.values()]
    data_dir = next(iter(named.values()))["data_dir"]
    places, made = reviews.build(directories, SPLIT.value, REVIEWS.value, data_dir)
    print(*places, f"filters read it with --config.data.reviews={made}", sep="\n")
    return {name: data | {"reviews": made} for name, data in named.items()}


def main(argv: list[str]) -> None:
    del argv
    data, output = CONFIG.value.data.to_dict(), Path(OUTPUT.value)
    selection.parse(data)
    named = dict(zip(data["source"].split(","), sources.sources_of(data), strict=True))
    if SPLIT.value != "train":
        named = dict([next(iter(named.items()))])
    named = {name: own.data for name, own in named.items()}
    if REVIEWS.value:
        named = add_reviews(named)
    shown, reports = [], {}
    for name, own in named.items():
        examples, reports[name] = score_source(name, own)
        shown += examples
    storage.write_json(written := output.with_suffix(".json"), reports)
    if shown:
        media.contact_sheet(shown).save(output)
    print(f"written: {f'{output}, ' * bool(shown)}{written}")
