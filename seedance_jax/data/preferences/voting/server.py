"""The voting page as a web application (Starlette): ballots, clips, votes.

Nothing that reaches a browser tells which folder a clip is of: a ballot has a random ticket, and
clips are asked for by ticket and place, without names and dates of files.
"""

import base64
import hashlib
import io
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from seedance_jax.data.preferences import answers, ballot, box, pairs, votes
from seedance_jax.data.preferences.pairs import Clip, Pair
from seedance_jax.data.preferences.voting import endpoints
from seedance_jax.data.preferences.voting.endpoints import (
    ASKING,
    HEADERS,
    HOSTS,
    ConflictError,
    answering,
    make_page,
    read_json,
)

FILES = ("page.html", "page.css", "page.js", "player.js")
CLIPS = {".mp4": "video/mp4", ".png": "image/png"}
LONGEST = 86_400.0  # seconds that a vote may have taken


class Ballot(NamedTuple):
    """A pair as it is shown to a voter."""

    voter: str
    pair: Pair
    clips: tuple[Clip, Clip]


class Poll(NamedTuple):
    """All that the application knows.

    tickets: {ticket: Ballot} of what was shown, one for each voter and pair. secret: makes them.
    """

    pairs: list
    box: box.Box
    seed: int
    tickets: dict
    secret: bytes


def make_app(
    found: Sequence[Pair],
    votes_box: box.Box,
    seed: int = 0,
    hosts: Sequence[str] = HOSTS,
) -> Starlette:
    """The application for the votes on pairs, those found, that go to an open box.

    hosts: names by which it may be called, "*" for any; others may be pages of strangers.
    """
    poll = Poll(found, votes_box, seed, {}, secrets.token_bytes(16))
    routes = [
        ASKING,
        Route("/", make_page(__package__, "page.html")),
        *(Route(f"/{name}", make_page(__package__, name)) for name in FILES),
        Route("/ballot", answering(poll, get_ballot)),
        Route("/clip/{ticket}/{place:int}", answering(poll, get_clip)),
        Route("/given/{ticket}/{place:int}", answering(poll, get_given)),
        Route("/vote", answering(poll, post_vote), methods=["POST"]),
        Route("/undo", answering(poll, post_undo), methods=["POST"]),
    ]
    return endpoints.make_app(routes, hosts)


async def get_ballot(poll, request):
    """The next ballot of ?voter=NAME."""
    return next_ballot(poll, ballot.voter_name(request.query_params.get("voter", "")))


def next_ballot(poll: Poll, voter: str) -> dict[str, Any]:
    """What a page shows to a voter; its "ticket" is None when nothing is left."""
    done = {row["pair"] for row in votes.votes_of(poll.box.rows, voter)}
    left = [pair for pair in ballot.order(poll.pairs, voter, poll.seed) if pair.id not in done]
    progress = {"voter": voter, "done": len(poll.pairs) - len(left), "total": len(poll.pairs)}
    if not left:
        return progress | {"ticket": None}
    pair = left[0]
    ticket = write_ticket(poll, voter, pair)
    poll.tickets[ticket] = Ballot(voter, pair, ballot.arrange(pair, voter, poll.seed))
    settings = pair.clips[0].settings
    return progress | {
        "ticket": ticket,
        "prompt": pair.prompt,
        "given": [image.name for image in pair.given],
        "questions": {name: answers.AXES[name] for name in ballot.axes_of(pair)},
        **{name: settings[name] for name in box.CLIP_FIELDS},
    }


def write_ticket(poll: Poll, voter: str, pair: Pair) -> str:
    """What stands for a voter and a pair, always the same, and tells nothing of either."""
    message = f"{voter}\n{pair.id}".encode()
    digest = hashlib.blake2b(message, key=poll.secret, digest_size=12).digest()
    return base64.urlsafe_b64encode(digest).decode()


def find(poll: Poll, ticket: str) -> Ballot:
    """The Ballot of a ticket."""
    if str(ticket) not in poll.tickets:
        raise ConflictError("this page is older than the server; it is loaded again")
    return poll.tickets[ticket]


def check_unchanged(clip: Clip) -> None:
    """Raises OSError if a clip is not there as it was when the pairs were made."""
    try:
        votes.check_clip(clip.path, clip.sha256)
    except ValueError as error:
        raise OSError(str(error)) from error


async def get_clip(poll, request):
    """The file of the clip at place 0 or 1."""
    clips, place = find(poll, request.path_params["ticket"]).clips, request.path_params["place"]
    if place >= len(clips):
        raise ValueError(f"place {place} must be 0 or 1")
    check_unchanged(clips[place])
    content = clips[place].path.read_bytes()
    return Response(content, media_type=CLIPS[clips[place].path.suffix], headers=HEADERS)


async def get_given(poll, request):
    """A given image as the models saw it."""
    pair, place = find(poll, request.path_params["ticket"]).pair, request.path_params["place"]
    if place >= len(pair.given):
        raise ValueError(f"place {place} must be below {len(pair.given)}")
    buffer = io.BytesIO()
    Image.fromarray(read_given(pair, pair.given[place])).save(buffer, "png")
    return Response(buffer.getvalue(), media_type="image/png", headers=HEADERS)


def read_given(pair: Pair, image: pairs.Given) -> np.ndarray:
    """`pairs.read_given` in the size of the clips."""
    settings = pair.clips[0].settings
    return pairs.read_given(image, settings["height"], settings["width"])


async def post_vote(poll, request):
    """Takes {ticket, answers: {axis: answer}, seconds}; returns the next ballot."""
    sent = await read_json(request)
    voter, pair, clips = find(poll, sent.get("ticket"))
    answers.check_answers(sent.get("answers"), ballot.axes_of(pair))
    seconds = sent.get("seconds")
    if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST:
        raise ValueError(f"seconds={seconds!r} must be from 0 to {LONGEST:g}")
    if any(row["pair"] == pair.id for row in votes.votes_of(poll.box.rows, voter)):
        raise ConflictError("this pair has your vote already")
    for clip in clips:
        check_unchanged(clip)
    for image in pair.given:
        read_given(pair, image)
    box.cast(poll.box, voter, pair, clips, sent["answers"], round(seconds, 1))
    return next_ballot(poll, voter)


async def post_undo(poll, request):
    """Takes back the last vote of {voter}; returns the next ballot, and the old answers."""
    voter = ballot.voter_name((await read_json(request)).get("voter", ""))
    cast = votes.votes_of(poll.box.rows, voter)
    if not cast:
        raise ConflictError("you have no vote to take back")
    box.take_back(poll.box, voter, cast[-1]["id"])
    answer = next_ballot(poll, voter)
    shown = box.describe_files(poll.box, poll.tickets[answer["ticket"]].clips)
    return answer | {"answers": cast[-1]["answers"] if shown == cast[-1]["files"] else {}}
