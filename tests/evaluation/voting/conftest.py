"""The page of comparisons, served."""

import contextlib

import pytest

from seedance_jax.data.preferences import box
from tests.serving import serving


@pytest.fixture
def serve(found, tmp_path):
    """Context manager that serves the page of `found` at the address that it yields."""
    pytest.importorskip("starlette", reason="the page needs the extra `vote`")
    from seedance_jax.data.preferences.voting.server import make_app

    @contextlib.contextmanager
    def run(path=tmp_path / "votes.jsonl", seed=0):
        with box.open_box(path, found) as votes_box:
            with serving(make_app(found, votes_box, seed)) as at:
                yield at

    return run
