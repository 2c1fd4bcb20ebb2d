"""The page of reviews by its HTTP interface: a real server on a loopback port."""

import contextlib
import json
import re
import threading
import urllib.parse

import av
import numpy as np
import pytest
from clips import clip_record, cut_record, moving_square, write_clips

from seedance_jax.data import video
from seedance_jax.data.curation import reviews, scores
from tests.evaluation.voting.test_server import ask, get
from tests.serving import serving

pytest.importorskip("starlette", reason="the page needs the extra `vote`")
from seedance_jax.data.curation.reviewing import application, desk

LABELS = {"bright": "exposure > 0.5"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(directory, data_dir) of six clips, the last of colours that no browser shows, scored."""
    root = tmp_path_factory.mktemp("reviewing")
    records = [cut_record(0, (5, 4)), *(clip_record(number) for number in range(1, 6))]
    records[5]["video"] = video.encode_mp4(moving_square(5), 12, pixel_format="yuv444p")
    write_clips(root / "clips" / "a", records)
    scores.build(root / "clips" / "a", "train", ["aesthetic"], root)
    return root / "clips" / "a", root


@pytest.fixture
def serve(built, tmp_path):
    """Context manager that serves the page at the address that it yields."""
    directory, root = built

    @contextlib.contextmanager
    def run(**options):
        data = {"data_dir": str(root), "labels": LABELS}
        with reviews.open_file(tmp_path / "reviews.jsonl") as file:
            opened = desk.open_desk(file, data, directory, "train", ["falls"])
            with serving(application.make_app(opened, **options)) as at:
                yield at

    return run


def rows(at, **query):
    return ask(f"{at}/rows?{urllib.parse.urlencode(query)}")


def numbers(answer):
    return [row["row"] for row in answer["rows"]]


def test_clips_are_chosen_by_a_filter_and_sorted_by_a_column(serve, built):
    exposure = scores.open_table(built[0], "train", "aesthetic", built[1])[0]["exposure"]
    with serve() as at:
        everything = rows(at)
        assert numbers(everything) == [*range(6)]
        assert everything["found"] == 6
        assert {"exposure", "num_frames", "kept", "label"} <= {*everything["columns"]}
        assert "motion" not in everything["columns"]  # nobody has measured it
        shown = rows(at, sort="exposure", falling=1, start=1, count=2)
        assert numbers(shown) == np.argsort(-exposure)[1:3].tolist()
        middle = np.median(exposure)
        found = rows(at, filter=f"exposure > {middle}")
        assert numbers(found) == np.flatnonzero(exposure > np.float32(middle)).tolist()
        assert numbers(rows(at, filter="bright")) == np.flatnonzero(exposure > 0.5).tolist()
        first = everything["rows"][0]
        assert (first["id"], first["caption"]) == ("clip/0", "all shots")
        assert first["values"]["exposure"] == pytest.approx(exposure[0], abs=1e-3)


def test_every_decision_is_on_disk_at_once_and_can_be_chosen_by(serve, tmp_path):
    with serve() as at:
        sent = {"reviewer": " Ann ", "row": 2, "decision": "keep", "label": "falls"}
        assert ask(f"{at}/decide", sent)["decision"] == "keep"
        (row,) = reviews.read_rows(tmp_path / "reviews.jsonl")
        assert (row["reviewer"], row["row"], row["clip"]) == ("ann", 2, "clip/2")
        ask(f"{at}/decide", {"reviewer": "bob", "row": 4, "decision": "drop"})
        assert numbers(rows(at, shown="undecided")) == [0, 1, 3, 5]
        assert numbers(rows(at, shown="keep")) == numbers(rows(at, filter="kept == 1")) == [2]
        assert numbers(rows(at, filter="label == 'falls'")) == [2]
        assert numbers(rows(at, sort="label"))[0] == 2
        assert rows(at)["counts"] == {"all": 6, "keep": 1, "drop": 1}
        gone = ask(f"{at}/undo", {"reviewer": "ann"})
        assert (gone["row"], gone["decision"], gone["label"]) == (2, "", "")
    with serve() as at:  # started again
        assert numbers(rows(at, shown="drop")) == [4]
        assert rows(at)["labels"] == ["falls"]


def test_clips_come_in_a_form_that_every_browser_shows(serve, built):
    with serve() as at:
        for number, wanted in ((1, moving_square(1)), (5, moving_square(5))):
            status, headers, content = get(f"{at}/clip/{number}")
            assert (status, headers["content-type"]) == (200, "video/mp4")
            (built[1] / "clip.mp4").write_bytes(content)
            with av.open(str(built[1] / "clip.mp4")) as container:
                assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
            frames, fps = video.decode_mp4(content)
            assert fps == 12
            assert np.abs(frames.astype(int) - wanted).mean() < 6


def test_people_at_once_do_not_disturb_each_other(serve, tmp_path):
    def work(name, mine):
        for row in mine:
            for decision in ("drop", "keep"):
                ask(f"{at}/decide", {"reviewer": name, "row": row, "decision": decision})

    with serve() as at:
        threads = [
            threading.Thread(target=work, args=(name, mine))
            for name, mine in (("ann", (0, 1, 2)), ("bob", (3, 4, 5)), ("cat", (0, 3)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert numbers(rows(at, shown="keep")) == [*range(6)]
    found = reviews.read_rows(tmp_path / "reviews.jsonl")
    assert len(found) == len({row["id"] for row in found}) == 16


def test_what_is_wrong_is_refused_in_words(serve, tmp_path):
    good = {"reviewer": "ann", "row": 0, "decision": "keep", "label": ""}
    with serve() as at:
        for change, message in (
            ({"reviewer": " "}, "give a name of 1 to 40 letters"),
            ({"row": 6}, "row=6 is not one of 0 to 5"),
            ({"row": True}, "row=True is not one of 0 to 5"),
            ({"decision": "maybe"}, "decision='maybe' is not one of"),
            ({"label": 3}, "label 3 must be text"),
        ):
            status, _, content = get(f"{at}/decide", good | change)
            assert (status, message in json.loads(content)["error"]) == (400, True), content
        for query, message in (
            ("filter=exposre+%3E+1", "did you mean 'exposure'?"),
            ("filter=label+%3E+1", "label is text"),
            ("sort=beauty", "no column 'beauty' to sort by"),
            ("shown=some", "shown='some' is not one of"),
            ("start=-1", "start='-1' is not 0, 1, 2, ..."),
        ):
            status, _, content = get(f"{at}/rows?{query}")
            assert (status, message in json.loads(content)["error"]) == (400, True), content
        assert get(f"{at}/clip/6")[0] == 400
        assert get(f"{at}/undo", {"reviewer": "ann"})[0] == 409
        assert get(f"{at}/decide", good, **{"Content-Type": "text/plain"})[0] == 400
        assert get(f"{at}/rows", Host="evil.example")[0] == 400
    assert not reviews.read_rows(tmp_path / "reviews.jsonl")


def test_the_page_needs_nothing_from_elsewhere(serve):
    with serve() as at:
        for name in ("", "review.css", "review.js", "asking.js"):
            status, headers, content = get(f"{at}/{name}")
            assert status == 200
            assert not re.search(rb"//\w", content)
            assert "default-src 'none'" in headers["content-security-policy"]
