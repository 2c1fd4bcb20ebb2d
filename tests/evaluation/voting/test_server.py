"""The page by its HTTP interface: a real server on a loopback port."""

import ipaddress
import json
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from seedance_jax.data.preferences import votes
from seedance_jax.data.preferences.voting import listening

NAMES = re.compile(rb"secret|alpha|beta|0000|\.mp4|workdir")


def get(url, body=None, **headers):
    """(status, headers, bytes) of a request; a body is sent as JSON."""
    return send(url, None if body is None else json.dumps(body).encode(), **headers)


def send(url, data=None, **headers):
    """`get` with a body of bytes."""
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def ask(url, body=None):
    """The JSON of a request that must go well."""
    status, _, content = get(url, body)
    assert status == 200, content
    return json.loads(content)


def answer(at, ballot, choice="first"):
    answers = dict.fromkeys(ballot["questions"], choice)
    return ask(f"{at}/vote", {"ticket": ballot["ticket"], "answers": answers, "seconds": 2})


def vote_on_all(at, voter):
    ballot, prompts = ask(f"{at}/ballot?voter={voter}"), []
    while ballot["ticket"]:
        prompts.append(ballot["prompt"])
        ballot = answer(at, ballot)
    return prompts


def test_a_voter_sees_every_pair_once_and_goes_on_where_he_stopped(serve, found, tmp_path):
    with serve() as at:
        first = ask(f"{at}/ballot?voter=Ann")
        assert (first["done"], first["total"], first["voter"]) == (0, 3, "ann")
        second = answer(at, first)
        assert ask(f"{at}/ballot?voter=ANN%20")["prompt"] == second["prompt"]
    with serve() as at:
        again = ask(f"{at}/ballot?voter=ann")
        assert (again["done"], again["prompt"]) == (1, second["prompt"])
        prompts = [first["prompt"], *vote_on_all(at, "ann")]
    assert sorted(prompts) == sorted(pair.prompt for pair in found)
    rows = votes.read_rows(tmp_path / "votes.jsonl")
    assert len(rows) == 3
    assert all(set(row["answers"].values()) == {"first"} for row in rows)


def test_answers_are_of_the_clips_as_shown(serve, tmp_path):
    with serve() as at:
        ballot = ask(f"{at}/ballot?voter=ann")
        shown = [get(f"{at}/clip/{ballot['ticket']}/{place}")[2] for place in (0, 1)]
        answer(at, ballot, "second")
    preferences = votes.read_votes(tmp_path / "votes.jsonl")
    assert {p.winner.read_bytes() for p in preferences} == {shown[1]}
    assert {p.loser.read_bytes() for p in preferences} == {shown[0]}


def given_ballot(at):
    """(voter, ballot) whose clips were given an image."""
    voters = (f"voter {number}" for number in range(100))
    shown = ((voter, ask(f"{at}/ballot?voter={voter.replace(' ', '%20')}")) for voter in voters)
    return next((voter, ballot) for voter, ballot in shown if ballot["given"])


def test_nothing_tells_which_folder_a_clip_is_of(serve):
    with serve() as at:
        voter, ballot = given_ballot(at)
        _, headers, content = get(f"{at}/ballot?voter={voter.replace(' ', '%20')}")
        assert json.loads(content) == ballot
        answers = [(headers, content)]
        files = [f"{kind}/{ballot['ticket']}" for kind in ("clip", "given")]
        for path in (f"{files[0]}/0", f"{files[0]}/1", f"{files[1]}/0", "", "page.js"):
            status, headers, content = get(f"{at}/{path}")
            assert status == 200
            assert content.startswith(b"\x89PNG") == path.startswith("given")
            answers.append((headers, b"" if path.startswith(tuple(files)) else content))
    for headers, content in answers:
        assert not NAMES.search(str(headers).encode() + content)
        assert not {"last-modified", "etag", "content-disposition"} & {h.lower() for h in headers}


def test_the_page_needs_nothing_from_elsewhere(serve):
    with serve() as at:
        for name in ("", "page.css", "page.js", "player.js", "asking.js"):
            status, headers, content = get(f"{at}/{name}")
            assert status == 200
            assert not re.search(rb"//\w", content)
            assert "default-src 'none'" in headers["content-security-policy"]


def test_what_is_wrong_is_refused_in_words(serve, tmp_path):
    with serve() as at:
        ballot = ask(f"{at}/ballot?voter=ann")
        answers = dict.fromkeys(ballot["questions"], "tie")
        good = {"ticket": ballot["ticket"], "answers": answers, "seconds": 1}
        for change, status, message in (
            ({"answers": {}}, 400, "answers={} must be of"),
            ({"answers": answers | {"motion_quality": "left"}}, 400, "'left' is not one of"),
            ({"seconds": -1}, 400, "seconds=-1 must be from 0"),
            ({"seconds": "x"}, 400, "seconds='x'"),
            ({"ticket": "none"}, 409, "older than the server"),
            ({"ticket": [1]}, 409, "older than the server"),
            ({"more": "x" * 20_000}, 400, "more than 10000 bytes"),
        ):
            found, _, content = get(f"{at}/vote", good | change)
            assert (found, message in json.loads(content)["error"]) == (status, True), content
        assert get(f"{at}/vote", [1])[0] == 400
        assert get(f"{at}/vote", good, **{"Content-Type": "text/plain"})[0] == 400
        assert get(f"{at}/vote")[0] == 405
        found, _, content = send(f"{at}/vote", b"[" * 9000)
        assert (found, "nested too deeply" in json.loads(content)["error"]) == (400, True)
        assert get(f"{at}/ballot?voter=")[0] == 400
        assert get(f"{at}/ballot", Host="elsewhere.example")[0] == 400
        assert get(f"{at}/clip/{ballot['ticket']}/2")[0] == 400
        assert get(f"{at}/clip/none/0")[0] == 409
        assert get(f"{at}/given/{ballot['ticket']}/7")[0] == 400
        assert get(f"{at}/../setup.py")[0] == 404
    assert not votes.read_rows(tmp_path / "votes.jsonl")


def test_a_pair_gets_one_vote_of_a_voter_however_many_tabs_he_has(serve, tmp_path):
    with serve() as at:
        tabs = [ask(f"{at}/ballot?voter=ann") for _ in range(2)]
        answer(at, tabs[0])
        body = {"ticket": tabs[1]["ticket"], "seconds": 1}
        body["answers"] = dict.fromkeys(tabs[1]["questions"], "tie")
        status, _, content = get(f"{at}/vote", body)
        assert (status, json.loads(content)["error"]) == (409, "this pair has your vote already")
    assert len(votes.read_rows(tmp_path / "votes.jsonl")) == 1


def test_the_last_vote_is_taken_back_with_its_answers(serve):
    with serve() as at:
        first = ask(f"{at}/ballot?voter=ann")
        second = answer(at, first, "second")
        answer(at, second)
        assert ask(f"{at}/undo", {"voter": "ann"})["prompt"] == second["prompt"]
        again = ask(f"{at}/undo", {"voter": "ann"})
        assert again["prompt"] == first["prompt"]
        assert again["answers"] == dict.fromkeys(first["questions"], "second")
        assert get(f"{at}/undo", {"voter": "ann"})[0] == 409
        answer(at, again, "tie")


def test_answers_come_back_only_to_the_order_that_they_were_given_for(serve):
    with serve() as at:
        vote_on_all(at, "ann")
    order = None
    for seed in range(8):
        with serve(seed=seed) as at:
            again = ask(f"{at}/undo", {"voter": "ann"})
            shown = [get(f"{at}/clip/{again['ticket']}/{place}")[2] for place in (0, 1)]
            told = dict.fromkeys(again["questions"], "tie")
            assert order is None or again["answers"] == (told if shown == order else {})
            assert not answer(at, again, "tie")["ticket"]
            order = shown


def test_voters_at_once_do_not_disturb_each_other(serve, tmp_path):
    with serve() as at:
        voters = [f"voter{i}" for i in range(6)]
        threads = [threading.Thread(target=vote_on_all, args=(at, name)) for name in voters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    rows = votes.read_rows(tmp_path / "votes.jsonl")
    assert len(rows) == len({(row["voter"], row["pair"]) for row in rows}) == 18


def test_a_clip_that_changes_meanwhile_gets_no_vote_and_no_name(serve, found, capsys):
    with serve() as at:
        ballot = ask(f"{at}/ballot?voter=ann")
        pair = next(pair for pair in found if pair.prompt == ballot["prompt"])
        path = pair.clips[0].path
        content = path.read_bytes()
        try:
            path.write_bytes(content + b"x")
            places = [get(f"{at}/clip/{ballot['ticket']}/{place}") for place in (0, 1)]
            body = {"ticket": ballot["ticket"], "seconds": 1}
            body["answers"] = dict.fromkeys(ballot["questions"], "tie")
            vote = get(f"{at}/vote", body)
        finally:
            path.write_bytes(content)
    assert sorted(status for status, _, _ in places) == [200, 500]
    assert vote[0] == 500
    assert not NAMES.search(vote[2])
    assert "is not the clip that was voted on" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["another", "torn", "gone"])
def test_a_given_image_that_changes_meanwhile_is_not_shown_and_gets_no_vote(
    serve, found, tmp_path, capsys, change
):
    [image] = next(pair for pair in found if pair.given).given
    path = Path(image.path)
    content = path.read_bytes()
    with serve() as at:
        _, ballot = given_ballot(at)
        body = {"ticket": ballot["ticket"], "seconds": 1}
        body["answers"] = dict.fromkeys(ballot["questions"], "tie")
        try:
            path.write_bytes(content[:60])
            if change == "another":
                Image.new("RGB", (48, 32)).save(path)
            elif change == "gone":
                path.unlink()
            shown, vote = get(f"{at}/given/{ballot['ticket']}/0"), get(f"{at}/vote", body)
        finally:
            path.write_bytes(content)
        for status, _, said in (shown, vote):
            assert status == 500
            assert path.name.encode() not in said
            assert b"whoever started this page" in said
        assert path.name in capsys.readouterr().err
        assert not votes.read_rows(tmp_path / "votes.jsonl")
        assert get(f"{at}/vote", body)[0] == 200


def test_asking_again_costs_no_memory(serve):
    with serve() as at:
        assert len({ask(f"{at}/ballot?voter=ann")["ticket"] for _ in range(5)}) == 1
        assert ask(f"{at}/ballot?voter=bob")["ticket"] != ask(f"{at}/ballot?voter=ann")["ticket"]


@pytest.mark.parametrize(
    ("host", "bound", "names"),
    [
        ("127.0.0.1", "127.0.0.1", ["127.0.0.1", "localhost", "[::1]"]),
        ("127.0.0.2", "127.0.0.2", ["127.0.0.2", "localhost"]),
        ("::1", "::1", ["[::1]", "localhost"]),
        ("Box.example", "10.0.0.7", ["box.example", "10.0.0.7", "localhost"]),
    ],
)
def test_a_page_answers_to_its_own_names_alone(host, bound, names):
    found = listening.names_of(host, ipaddress.ip_address(bound))
    assert set(names) <= set(found)
    assert "*" not in found
    for everywhere in ("0.0.0.0", "::"):
        assert listening.names_of(host, ipaddress.ip_address(everywhere)) == ("*",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "two or more folders of samples"),
        (["--summary", "one"], "--summary reads --votes alone, not .'one'"),
        (["--summary", "--votes=nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_the_command_refuses(run_command, arguments, message):
    pytest.importorskip("starlette", reason="the page needs the extra `vote`")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_command("vote", *arguments)


def test_the_command_prints_the_summary(run_command, serve, tmp_path, capsys):
    with serve() as at:
        vote_on_all(at, "ann")
    run_command("vote", "--summary", f"--votes={tmp_path}/votes.jsonl")
    printed = capsys.readouterr().out
    assert "secret_alpha over " in printed
    assert "1 voters, 3 pairs, 3 votes" in printed


def test_a_port_in_use_is_said(run_command, serve, folders, tmp_path):
    with serve() as at:
        port = at.rpartition(":")[2]
        flags = (f"--port={port}", f"--votes={tmp_path}/more.jsonl")
        with pytest.raises(OSError, match=f"cannot listen at --host=127.0.0.1 --port={port}: "):
            run_command("vote", *flags, *map(str, folders))
