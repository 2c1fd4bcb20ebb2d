"""A page on which people compare clips, blind.

    python -m seedance_jax vote samples/a samples/b --votes=votes.jsonl
    python -m seedance_jax vote --summary --votes=votes.jsonl

The folders are of `seedance_jax sample`; clips of the same prompt and seed make a pair, and of
several folders each is paired with each. Open the address that it prints, also in two browsers at
once. Of each pair a voter says which clip is better by axis, that they are the same, or that
he cannot tell; the votes go to a file that reward models can train on
(`seedance_jax.data.preferences.votes.read_votes`). Ctrl-C ends it; the same command goes on.
"""

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.data.preferences import box, pairs, votes
from seedance_jax.data.preferences.voting import listening
from seedance_jax.evaluation import tally

VOTES = cli.define_path("votes", "votes.jsonl", "The file of votes; it is begun or continued.")
SUMMARY = flags.DEFINE_bool("summary", False, "Print what the votes say, and stop.")
HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen at; 0.0.0.0 lets in everyone who reaches the machine."
)
PORT = flags.DEFINE_integer("port", 8000, "Port to listen at; 0 is any free one.", 0, 65535)
SEED = flags.DEFINE_integer("seed", 0, "Of the order of pairs and clips.")


def main(argv: list[str]) -> None:
    folders = argv[1:]
    mode = "--summary" if SUMMARY.value else "folders of clips"
    cli.needs({"folders of clips": ("host", "port", "seed")}, mode)
    if SUMMARY.value:
        if folders:
            raise ValueError(f"--summary reads --votes alone, not {folders}")
        print(tally.format_summary(tally.summarise(votes.read_rows(VOTES.value))))
        return
    from seedance_jax.data.preferences.voting import server  # of the extra `vote`

    found, notes = pairs.pair_folders(folders)
    for note in notes:
        print(f"note: {note}")
    with (
        box.open_box(VOTES.value, found) as votes_box,
        listening.listen(HOST.value, PORT.value) as listener,
    ):
        print(f"{len(found)} pairs; {len(votes.standing(votes_box.rows))} votes in {VOTES.value}")
        names = listening.names_of(HOST.value, listening.address_of(listener))
        app = server.make_app(found, votes_box, SEED.value, names)
        listening.serve(app, listener, HOST.value)
