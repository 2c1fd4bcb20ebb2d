"""A page on which people compare clips, blind.

    python -m seedance_jax vote samples/a samples/b --votes=votes.jsonl
    python -m seedance_jax vote --summary --votes=votes.jsonl

The folders are of `seedance_jax sample`; clips of the same prompt and seed make a pair, and of
several folders each is paired with each. Open the address that it prints, also in two browsers at
once. Of each pair a voter says which clip is better by dimension, that they are the same, or that
he cannot tell; the votes go to a file that reward models can train on
(`seedance_jax.evaluation.voting.votes.read_votes`). Ctrl-C ends it; the same command goes on.
"""

import contextlib
import ipaddress
import socket

from absl import flags

from seedance_jax.commands import cli
from seedance_jax.evaluation.voting import box, pairs, summary, votes

VOTES = flags.DEFINE_string("votes", "votes.jsonl", "The file of votes; it is begun or continued.")
SUMMARY = flags.DEFINE_bool("summary", False, "Print what the votes say, and stop.")
HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen at; 0.0.0.0 lets in everyone who reaches the machine."
)
PORT = flags.DEFINE_integer("port", 8000, "Port to listen at; 0 is any free one.", 0, 65535)
SEED = flags.DEFINE_integer("seed", 0, "Of the order of pairs and clips.")

NAMES = ("127.0.0.1", "localhost", "[::1]")  # in an address
WARNING = """
  WARNING: --host={host} opens this page to everyone who can reach this machine. There is no
  password and no encryption: they see prompts and clips, and can vote under any name.
"""


def main(argv):
    folders = argv[1:]
    mode = "--summary" if SUMMARY.value else "folders of clips"
    cli.needs({"folders of clips": ("host", "port", "seed")}, mode)
    if SUMMARY.value:
        if folders:
            raise ValueError(f"--summary reads --votes alone, not {folders}")
        print(summary.format_summary(summary.summarise(votes.read_rows(VOTES.value))))
        return
    from seedance_jax.evaluation.voting import server  # of the extra `vote`

    found, notes = pairs.pair_folders(folders)
    for note in notes:
        print(f"note: {note}")
    with box.open_box(VOTES.value, found) as votes_box, listen() as listener:
        print(f"{len(found)} pairs; {len(votes.standing(votes_box.rows))} votes in {VOTES.value}")
        bound = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
        app = server.make_app(found, votes_box, SEED.value, names_of(HOST.value, bound))
        serve(app, listener, bound.is_loopback)


def listen():
    """A socket at --host and --port; raises OSError with both if there cannot be one."""
    family = socket.AF_INET6 if ":" in HOST.value else socket.AF_INET
    try:
        return socket.create_server((HOST.value, PORT.value), family=family)
    except OSError as error:
        raise OSError(f"cannot listen at --host={HOST.value} --port={PORT.value}: {error}") from (
            error
        )


def names_of(host, bound):
    """Names by which the page may be called, of --host and the address that it is; "*" is any."""
    if bound.is_unspecified:
        return ("*",)
    return (*NAMES, bracketed(host).lower(), bracketed(str(bound)))


def bracketed(host):
    """A host as it stands in an address: those with colons in brackets."""
    return f"[{host}]" if ":" in host else host


def serve(app, listener, local):
    """Serves the page until it is interrupted."""
    import uvicorn  # of the extra `vote`

    if not local:
        print(WARNING.format(host=HOST.value))
    print(
        f"open http://{bracketed(HOST.value)}:{listener.getsockname()[1]}/ (Ctrl-C ends it)",
        flush=True,
    )
    settings = {"log_level": "warning", "ws": "none", "lifespan": "off", "access_log": False}
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app, **settings)).run(sockets=[listener])
