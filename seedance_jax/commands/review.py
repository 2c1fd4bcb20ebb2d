"""A page on which people look at clips, and keep, drop or relabel them.

    python -m seedance_jax review --config=configs/sft.py:tiny --output=reviews.jsonl

Open the address that it prints, also in several browsers at once. Clips are chosen by a filter as
of `data.filter`, and sorted by a column, of the tables of scores there are. Keys: k keeps the
clip, d drops it, 1 to 9 keep it with a label, l goes to its label, the arrows to other clips, n and
p to other pages, u takes the last decision back. Every decision is appended to --output at once;
Ctrl-C ends it, and the same command goes on. `score --reviews=reviews.jsonl` makes columns of them.
"""

from absl import flags
from ml_collections import config_flags

from seedance_jax.commands import cli
from seedance_jax.data import sources
from seedance_jax.data.curation import reviews
from seedance_jax.data.preferences.voting import listening

CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The config whose (first) data set to look at."
)
OUTPUT = cli.define_path("output", "reviews.jsonl", "The file of decisions; begun or continued.")
SPLIT = flags.DEFINE_string("split", "train", "The split.")
LABELS = flags.DEFINE_list("labels", [], "Labels to choose from, besides those of the file.")
HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen at; 0.0.0.0 lets in everyone who reaches the machine."
)
PORT = flags.DEFINE_integer("port", 8000, "Port to listen at; 0 is any free one.", 0, 65535)


def main(argv: list[str]) -> None:
    del argv
    from seedance_jax.data.curation.reviewing import application, desk  # of the extra `vote`

    data = sources.sources_of(CONFIG.value.data.to_dict())[0].data
    directory = sources.locate(data)
    with (
        reviews.open_file(OUTPUT.value) as file,
        listening.listen(HOST.value, PORT.value) as listener,
    ):
        seen = desk.open_desk(file, data, directory, SPLIT.value, LABELS.value)
        decided = reviews.latest(file.rows, seen.of)
        print(f"{len(seen.source)} clips, {len(decided)} decided in {OUTPUT.value}")
        names = listening.names_of(HOST.value, listening.address_of(listener))
        listening.serve(application.make_app(seen, names), listener, HOST.value)
