"""The page of a report in a real browser."""

import pytest

from seedance_jax.evaluation.suite import command

pytestmark = pytest.mark.browser
BROKEN = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"


def test_it_shows_clips_fits_a_phone_and_asks_nobody(chromium, bright, fake, quick, tmp_path):
    with quick():
        command.run(fake(), bright, tmp_path, 7, batch_size=7)
    colors = []
    for scheme, width in (("light", 1280), ("dark", 390)):
        context = chromium.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 800}
        )
        page, asked = context.new_page(), []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(f"file://{tmp_path}/report.html")
        page.eval_on_selector_all("img", "images => images.forEach(i => i.loading = 'eager')")
        page.wait_for_function(f"{BROKEN} === 0")
        assert page.locator("figure").count() == 6
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert all(url.startswith(("file:", "data:")) for url in asked)
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert colors[0] != colors[1]
