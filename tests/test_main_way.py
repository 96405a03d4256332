"""The way through the app that everybody takes, as hosts run it: with their settings, and with little memory."""

import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from captioning import Captioner, SearchOptions
from tests.browser import (
    CHROMIUM,
    CHROMIUM_FLAGS,
    PATIENCE,
    current,
    in_gallery,
    open_player,
    running_app,
    take,
    upload,
    words,
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

MIB = 2**20
HOST = "captions.example.org"

expect.set_options(timeout=PATIENCE)


@contextmanager
def page_of(browser: Browser) -> Iterator[Page]:
    """A page of a browser that finds this machine under another name."""
    flags = [*CHROMIUM_FLAGS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
    with browser.browser_type.launch(executable_path=CHROMIUM, args=flags) as named:
        page = named.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page


def go_the_main_way(page: Page, url: str, captioner: Captioner, photos: Path) -> None:
    """A photo of the gallery, step by step; another word; another width; the search; a photo of one's own; a file."""
    expected = captioner(photos / "pizza.jpg").text.split()
    open_player(page, f"{url}/?photo=Astronaut")
    in_gallery(page, "Pizza").click()
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Pizza, "))
    assert words(page) == [*expected, "end"]
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press("ArrowRight")
    assert current(page) == expected[0]

    page.locator(".likely button").first.click()
    expect(page.locator(".sentence")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".sentence")).to_have_count(1)

    slider = page.get_by_role("slider", name="Beam width")
    for _ in range(4):
        slider.press("ArrowLeft")
    narrow = captioner(photos / "pizza.jpg", SearchOptions(beam_size=1)).text
    expect(page.locator(".sentence")).to_have_attribute("aria-label", narrow)
    page.get_by_role("radio", name="Beam search").click()
    expect(page.locator(".tree svg")).to_be_visible()
    page.get_by_role("radio", name="Step through").click()

    upload(page, photos / "coffee.jpg")
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(r"^coffee\.jpg"))
    narrow = captioner(photos / "coffee.jpg", SearchOptions(beam_size=1)).text
    assert words(page)[:-1] == narrow.split()
    assert json.loads(take(page, "Data (JSON)"))["caption"] == narrow


def test_the_main_way(browser, server, captioner, photos):
    with page_of(browser) as page:
        go_the_main_way(page, server.url, captioner, photos)


def test_the_main_way_as_on_community_cloud(browser, captioner, photos, tmp_path):
    """Its entry point, the settings that it insists on (runs of the page end each other), and another name."""
    entry = "deploy/community-cloud/streamlit_app.py"
    forced = ["--runner.fastReruns=true", "--server.runOnSave=true"]
    with running_app(tmp_path / "log", script=entry, settings=forced) as server, page_of(browser) as page:
        go_the_main_way(page, server.url.replace("localhost", HOST), captioner, photos)
        page.get_by_role("radio", name="Camera").click()
        expect(page.get_by_role("status").get_by_text("over HTTPS or on localhost")).to_be_visible()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_main_way_with_600_megabytes(browser, captioner, photos, tmp_path, monkeypatch):
    """The largest photo is smaller then, and one that is larger is refused with the reason."""
    sizes = {"fits.png": 16, "large.png": 18}
    for name, megapixels in sizes.items():
        Image.new("RGB", (1000, 1000 * megapixels), "gray").save(tmp_path / name)
    limits = {resource.RLIMIT_DATA: 600 * MIB}
    # What is reserved counts too: Arrow's own allocator would reserve a gigabyte, of which it uses little.
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    with running_app(tmp_path / "log", limits=limits) as server, page_of(browser) as page:
        go_the_main_way(page, server.url, captioner, photos)
        upload(page, tmp_path / "fits.png")
        expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(r"^fits\.png"))
        upload(page, tmp_path / "large.png")
        expect(page.get_by_role("alert")).to_contain_text("for which there is too little memory here")
        assert server.resident() < 600 * MIB
    assert "Traceback" not in (tmp_path / "log").read_text()
