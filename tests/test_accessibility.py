"""Contrast, names and alternative texts as axe-core judges them (WCAG 2.1 A and AA), on every view of the real app."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from captioning import open_image
from captioning.visualize.export import Scene
from captioning.visualize.formats import FORMATS
from captioning.visualize.player.data import CaptionPane
from tests.browser import CHROMIUM, PATIENCE, open_player, wait_for_picture

LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
# Vega leaves marks of its curves without names; the tables beside them say the same in words.
OWN = {"exclude": [[".vega-embed"]]}

# The page is whole, and nothing on it is fading in.
SETTLED = """() => !document.querySelector('[data-test-script-state="running"]')
  && document.getAnimations().every((animation) => animation.playState !== "running")"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


def violations(page: Page) -> list[str]:
    page.wait_for_function(SETTLED)
    found = Axe().run(page, context=OWN, options=LEVELS).response["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_can_be_read_and_operated(page, server, scheme):
    page.emulate_media(color_scheme=scheme)
    open_player(page, f"{server.url}/?photo=Cat&say=a+dog#word=2")
    assert violations(page) == []
    # What the view before had may still be there.
    last = {"Beam search": "Final hypotheses", "Compare": "Checkpoints", "Model": "What it is bad at"}
    for view, heading in last.items():
        page.get_by_role("radio", name=view).click()
        page.get_by_role("heading", name=heading).wait_for()
        assert violations(page) == [], view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_truth_and_the_upload_can_be_read_and_operated(page, server, flickr8k, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{server.url}/?split=test&view=truth")
    page.get_by_role("heading", name="People wrote").wait_for()
    assert violations(page) == []
    page.get_by_role("radio", name="Photos").click()
    page.locator(".pictures img").nth(23).wait_for()
    assert violations(page) == []
    page.get_by_role("radio", name="Upload").click()
    page.get_by_text("A photo of your own").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_exported_page_can_be_read_and_operated(page, exported, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(exported.as_uri())
    wait_for_picture(page)
    assert violations(page) == []


@pytest.fixture
def exported(captioner, photos, tmp_path):
    path = tmp_path / "page.html"
    photo = open_image(photos / "rocket.jpg")
    path.write_bytes(
        FORMATS["html"].make(Scene("Rocket", photo, (CaptionPane(captioner(photo)),), credit="Made to be read."))
    )
    return path
