"""Where a page listens, by which names it answers, and its server."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAMES = ("127.0.0.1", "localhost", "[::1]")  # in an address
WARNING = """
  WARNING: --host={host} opens this page to everyone who can reach this machine. There is no
  password and no encryption: they see prompts and clips, and can answer under any name.
"""


def listen(host: str, port: int) -> socket.socket:
    """A socket at a host and port; raises OSError with both if there cannot be one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"cannot listen at --host={host} --port={port}: {error}") from (error)


def names_of(host: str, bound: Address) -> tuple[str, ...]:
    """Names by which the page may be called, of its host and address; "*" is any."""
    if bound.is_unspecified:
        return ("*",)
    return (*NAMES, bracketed(host).lower(), bracketed(str(bound)))


def bracketed(host: str) -> str:
    """A host as it stands in an address: those with colons in brackets."""
    return f"[{host}]" if ":" in host else host


def address_of(listener: socket.socket) -> Address:
    """The address that a socket is bound to."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])


def serve(app: Callable, listener: socket.socket, host: str) -> None:
    """Serves the page until it is interrupted; prints its address, with a warning if it is open."""
    import uvicorn  # of the extra `vote`

    if not address_of(listener).is_loopback:
        print(WARNING.format(host=host))
    print(
        f"open http://{bracketed(host)}:{listener.getsockname()[1]}/ (Ctrl-C ends it)",
        flush=True,
    )
    settings = {"log_level": "warning", "ws": "none", "lifespan": "off", "access_log": False}
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app, **settings)).run(sockets=[listener])
