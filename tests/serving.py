"""A web application, served on a loopback port."""

import contextlib
import socket
import threading

import pytest


@contextlib.contextmanager
def serving(app):
    """Serves an application at the address that it yields."""
    uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra `vote`")
    with socket.create_server(("127.0.0.1", 0)) as at:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{at.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
