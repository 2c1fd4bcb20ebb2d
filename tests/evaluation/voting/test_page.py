"""The page in a real browser: headless Chromium, driven by its keyboard, mouse and touch."""

import re
import time

import pytest

from seedance_jax.data.preferences import votes

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# Seconds that the clips are apart, the mean over 40 looks at them; seeking ones are not looked at.
APART = """async () => {
  const [one, two] = document.querySelectorAll("video");
  let [sum, count] = [0, 0];
  while (count < 40) {
    await new Promise(requestAnimationFrame);
    if (one.seeking || two.seeking || one.ended || two.ended) continue;
    sum += Math.abs(one.currentTime - two.currentTime);
    count += 1;
  }
  return sum / count;
}"""


@pytest.fixture
def visit(chromium):
    """Function (address, **context) that opens a page; it fails on errors and foreign requests."""
    contexts, wrong = [], []

    def open_page(address, **settings):
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: check_console(message, wrong))
        page.on("request", lambda request: check_address(request.url, address, wrong))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def check_console(message, wrong):
    if message.type == "error" and "409" not in message.text and "REFUSED" not in message.text:
        wrong.append(message.text)


def check_address(url, address, wrong):
    if not url.startswith((address, f"blob:{address}", "data:")) or re.search(r"secret|\.mp4", url):
        wrong.append(url)


def begin(page, name):
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Begin").click()
    playing(page)


def playing(page):
    """Waits until two clips run and the page takes answers."""
    page.wait_for_function(
        "() => !document.querySelector('button:disabled')"
        " && [...document.querySelectorAll('video')].filter((v) => v.currentTime > 0).length == 2"
    )


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def rows_of(path, voter, count):
    """The standing votes of a voter, once there are `count` of them."""
    for _ in range(200):
        rows = votes.votes_of(votes.read_rows(path), voter)
        if len(rows) == count:
            return rows
        time.sleep(0.05)
    raise AssertionError(f"{len(rows)} votes of {voter}, not {count}")


def test_the_keyboard_alone_is_enough(visit, serve, tmp_path):
    path = tmp_path / "votes.jsonl"
    with serve(path) as at:
        page = visit(at)
        page.keyboard.type("Ann")
        press(page, "Enter")
        playing(page)
        questions = page.locator("fieldset").count()
        press(page, "2", *"tx1"[: questions - 1], "Enter")
        (row,) = rows_of(path, "ann", 1)
        assert (
            list(row["answers"].values()) == ["second", "tie", "cannot_tell", "first"][:questions]
        )
        page.get_by_text("2 of 3", exact=True).wait_for()
        playing(page)
        assert row["prompt"] != page.locator("#prompt").inner_text()
        press(page, "u")
        rows_of(path, "ann", 0)
        page.get_by_text("1 of 3", exact=True).wait_for()
        page.wait_for_function(
            f"() => document.querySelectorAll('input:checked').length === {questions}"
        )
        for number in (1, 2, 3):
            page.get_by_text(f"{number} of 3", exact=True).wait_for()
            playing(page)
            press(page, *"1111"[: page.locator("fieldset").count()], "Enter")
            rows_of(path, "ann", number)
        page.get_by_text("That was the last pair. Thank you, ann!").wait_for()
    assert {*rows_of(path, "ann", 3)[0]["answers"].values()} == {"first"}
    assert len(votes.read_votes(path, ties=True)) >= 9


def test_clips_run_in_step_and_begin_again_together(visit, serve):
    with serve() as at:
        page = visit(at)
        begin(page, "ann")
        page.wait_for_function("() => Number(document.querySelector('#clips').dataset.loops) >= 2")
        assert page.evaluate(APART) < 1 / 12  # a frame
        press(page, "p")
        page.wait_for_function(
            "() => [...document.querySelectorAll('video')].every((v) => v.paused)"
        )
        page.get_by_label("Frame").fill("3")
        press(page, ".")
        page.wait_for_function(
            "() => [...document.querySelectorAll('video')].every("
            "(v) => Math.floor(v.currentTime * 12) === 4)"
        )
        page.get_by_text("5 / 9").wait_for()
        page.get_by_label("Speed").select_option("0.5")
        page.wait_for_function(
            "() => [...document.querySelectorAll('video')].every((v) => v.playbackRate === 0.5)"
        )
        page.get_by_role("button", name="Play").click()
        page.get_by_role("button", name="Pause").wait_for()


def test_two_voters_at_once_and_one_who_returns(visit, serve, tmp_path):
    path = tmp_path / "votes.jsonl"
    with serve(path) as at:
        ann, bob = visit(at), visit(at, **PHONE)
        for page, name in ((ann, "Ann"), (bob, "Bob")):
            begin(page, name)
        for page, name, choice in ((ann, "ann", "Clip 1"), (bob, "bob", "Cannot tell")):
            for group in page.get_by_role("group").all():
                if group.get_by_label(choice, exact=True).count():
                    group.get_by_label(choice, exact=True).check()
            page.get_by_role("button", name="Send and go on").click()
            rows_of(path, name, 1)
        ann.reload()
        ann.get_by_text("2 of 3", exact=True).wait_for()
        ann.get_by_role("button", name="Not ann?").click()
        assert ann.get_by_label("Your name").input_value() == "ann"
        fresh = visit(at)
        begin(fresh, " ANN")
        assert fresh.locator("#count").inner_text() == "2 of 3"


def test_it_says_what_is_missing_and_survives_the_server(visit, serve, tmp_path):
    path = tmp_path / "votes.jsonl"
    with serve(path) as at:
        page = visit(at)
        begin(page, "ann")
        press(page, "1", "Enter")
        page.get_by_role("alert").get_by_text("No answer yet: Motion quality").wait_for()
        press(page, *"111"[: page.locator("fieldset").count() - 1])
    press(page, "Enter")
    page.get_by_role("alert").get_by_text("The server does not answer.").wait_for()
    assert page.locator("input:checked").count() == page.locator("fieldset").count()
    assert not votes.read_rows(path)


def test_a_clip_that_the_browser_cannot_show_is_said(visit, serve):
    with serve() as at:
        page = visit(at)
        page.route("**/clip/**", lambda route: route.fulfill(body=b"no clip"))
        page.get_by_label("Your name").fill("ann")
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("alert").get_by_text("This browser cannot show the clip").wait_for()


def test_every_control_has_a_name_and_nothing_is_wider_than_a_phone(visit, serve, tmp_path):
    with serve() as at:
        page = visit(at, **PHONE)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        begin(page, "ann")
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        names = page.locator("body").aria_snapshot()
        for name in ("Clip 1", "Clip 2", "Frame", "Speed", "Pause", "Send and go on", "Same"):
            assert name in names
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, .options label')]"
            ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40).length"
        )
        assert small == 0
