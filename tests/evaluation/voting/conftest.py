"""The page of comparisons, served."""

import contextlib
import socket
import threading

import pytest

from seedance_jax.data.preferences import box


@pytest.fixture
def serve(found, tmp_path):
    """Context manager that serves the page of `found` at the address that it yields."""
    pytest.importorskip("starlette", reason="the page needs the extra `vote`")
    uvicorn = pytest.importorskip("uvicorn", reason="the page needs the extra `vote`")
    from seedance_jax.data.preferences.voting.server import make_app

    @contextlib.contextmanager
    def run(path=tmp_path / "votes.jsonl", seed=0):
        with box.open_box(path, found) as votes_box, socket.create_server(("127.0.0.1", 0)) as at:
            config = uvicorn.Config(
                make_app(found, votes_box, seed), log_level="warning", ws="none", lifespan="off"
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
            thread.start()
            try:
                yield f"http://127.0.0.1:{at.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join(10)

    return run
