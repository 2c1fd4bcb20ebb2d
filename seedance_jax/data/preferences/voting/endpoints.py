"""What pages that are served on this machine share: their headers, files, answers and errors."""

import json
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HOSTS = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src blob: data:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FAILED = "this did not work; whoever started this page sees why"
MAX_BODY = 10_000  # bytes of a vote


class ConflictError(Exception):
    """What a page knows is out of date; it should ask again."""


def make_app(routes: Sequence[Route], hosts: Sequence[str]) -> Starlette:
    """The application of some routes.

    hosts: names by which it may be called, "*" for any; others may be pages of strangers.
    """
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))]
    return Starlette(routes=list(routes), middleware=middleware)


def make_page(package: str, name: str) -> Callable:
    """An endpoint with a file of the folder "page" of a package."""
    text = (resources.files(package) / "page" / name).read_text()

    async def endpoint(request):
        del request
        return Response(text, media_type=TYPES[Path(name).suffix], headers=HEADERS)

    return endpoint


ASKING = Route("/asking.js", make_page(__package__, "asking.js"))  # how pages talk to us


def answering(state: Any, handle: Callable) -> Callable:
    """An endpoint of handle(state, request) -> JSON-able or Response; errors become answers."""

    async def endpoint(request):
        try:
            answer = await handle(state, request)
        except ConflictError as error:
            return JSONResponse({"error": str(error)}, 409, HEADERS)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400, HEADERS)
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)  # has names that who looks must not see
            return JSONResponse({"error": FAILED}, 500, HEADERS)
        return answer if isinstance(answer, Response) else JSONResponse(answer, headers=HEADERS)

    return endpoint


async def read_json(request: Request) -> dict[str, Any]:
    """The object that a page sent. Pages of strangers cannot send this type without asking."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise ValueError("the content must be application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ValueError(f"more than {MAX_BODY} bytes")
    try:
        value = json.loads(body)
    except RecursionError as error:
        raise ValueError("the content is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("the content must be an object")
    return value
