"""The page of reviews as a web application (Starlette): clips, filters, decisions.

Everything runs in one loop, so decisions of several people come one after the other; each is on
disk before it is answered.
"""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from seedance_jax.data.curation import reviews
from seedance_jax.data.curation.reviewing import desk as desks
from seedance_jax.data.curation.reviewing.desk import Desk
from seedance_jax.data.preferences.ballot import voter_name
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

FILES = ("review.html", "review.css", "review.js")


def make_app(desk: Desk, hosts: Sequence[str] = HOSTS) -> Starlette:
    """The application; hosts: see `endpoints.make_app`."""
    routes = [
        ASKING,
        Route("/", make_page(__package__, "review.html")),
        *(Route(f"/{name}", make_page(__package__, name)) for name in FILES),
        Route("/rows", answering(desk, get_rows)),
        Route("/clip/{row:int}", answering(desk, get_clip)),
        Route("/decide", answering(desk, post_decision), methods=["POST"]),
        Route("/undo", answering(desk, post_undo), methods=["POST"]),
    ]
    return endpoints.make_app(routes, hosts)


async def get_rows(desk, request):
    """Rows of ?filter=&shown=&sort=&falling=&start=&count=, with all there is to choose from."""
    asked = request.query_params
    start, count = (check_number(name, asked.get(name, least)) for name, least in PLACES)
    falling = asked.get("falling", "") == "1"
    about = (asked.get("filter", ""), asked.get("shown", "any"), asked.get("sort", ""), falling)
    found = desks.find(desk, *about)
    return {
        "rows": desks.tell(desk, found[start : start + min(count, desks.MOST)]),
        "found": len(found),
        "columns": sorted(desks.columns_of(desk)),
        "labels": desks.labels_of(desk),
        "named": sorted(desk.named),
        "counts": desks.count(desk),
    }


PLACES = (("start", "0"), ("count", "24"))


def check_number(name: str, text: str) -> int:
    """The number of a parameter; ValueError if it is none."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}={text!r} is not 0, 1, 2, ...")
    return int(text)


def check_place(desk: Desk, row: object) -> int:
    """A row of the split; ValueError if it is none."""
    if type(row) is not int or not 0 <= row < len(desk.source):
        raise ValueError(f"row={row!r} is not one of 0 to {len(desk.source) - 1}")
    return row


async def get_clip(desk, request):
    """The film of a row."""
    row = check_place(desk, request.path_params["row"])
    film = await run_in_threadpool(desk.film, row)
    return Response(film, media_type="video/mp4", headers=HEADERS)


async def post_decision(desk, request):
    """Takes {reviewer, row, decision, label}; returns the row as it is now."""
    sent = await read_json(request)
    reviewer, row = voter_name(sent.get("reviewer", "")), check_place(desk, sent.get("row"))
    clip = desk.source[row]["id"]
    told = {"decision": sent.get("decision"), "label": sent.get("label", "")}
    reviews.decide(desk.file, reviewer, desk.of, row, clip=clip, **told)
    return desks.tell(desk, [row])[0] | {"counts": desks.count(desk)}


async def post_undo(desk, request):
    """Takes back the last decision of {reviewer}; returns its row as it is now."""
    reviewer = voter_name((await read_json(request)).get("reviewer", ""))
    gone = reviews.take_back(desk.file, reviewer, desk.of)
    if gone is None:
        raise ConflictError("you have no decision to take back")
    return desks.tell(desk, [gone["row"]])[0] | {"counts": desks.count(desk)}
