"""The app as its users see it: a real server and a real headless Chromium."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from captioning import SearchOptions
from tests.conftest import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# Generous, for the machine may be busy with other things.
PATIENCE = 60_000
RESIDENT_LIMIT = 1.2 * 1024**3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


expect.set_options(timeout=PATIENCE)


class Server:
    """A running app: its address, its process and what it wrote."""

    def __init__(self, log):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        self.log = log
        self.url = f"http://localhost:{port}"
        options = ["--server.headless=true", f"--server.port={port}"]
        command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=log.open("w"), stderr=subprocess.STDOUT)

    def wait(self) -> None:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1)
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def resident(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("app") / "log.txt")
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(server.url)
    expect(page.locator(".sentence")).to_be_visible()
    page.wait_for_function("document.querySelector('.st-key-picture img')?.naturalHeight > 0")
    yield page
    page.close()


def sentence(page: Page) -> str:
    return page.locator(".sentence").inner_text()


def picture(page: Page) -> str:
    return page.locator(".st-key-picture img").get_attribute("src")


def current(page: Page) -> str:
    return page.locator(".sentence .now").inner_text()


def press(page: Page, key: str) -> None:
    """Press an arrow key and wait until the page shows another word's picture."""
    before = picture(page)
    page.keyboard.press(key)
    expect(page.locator(".st-key-picture img")).not_to_have_attribute("src", before)


def upload(page: Page, path) -> None:
    page.get_by_role("radio", name="Upload").click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(path)


def test_a_person_uploads_a_photo_moves_the_slider_and_steps_through_the_words(page, captioner, photos):
    path = photos / "motorcycle_left.png"
    upload(page, path)
    at_5 = captioner(path, SearchOptions(beam_size=5)).text
    expect(page.locator(".sentence")).to_have_text(re.compile(rf"^\s*{at_5} end\s*$"))

    thumb = page.get_by_role("slider", name="Beam width")
    thumb.focus()
    for _ in range(4):
        thumb.press("ArrowLeft")
    at_1 = captioner(path, SearchOptions(beam_size=1))
    expect(page.locator(".sentence")).to_have_text(re.compile(rf"^\s*{at_1.text} end\s*$"))

    page.get_by_role("heading").click()
    words, pictures = [current(page)], [picture(page)]
    for _ in at_1.steps[1:]:
        press(page, "ArrowRight")
        words.append(current(page))
        pictures.append(picture(page))
    assert words == [*at_1.text.split(), "end"]
    assert len(set(pictures)) == len(words)
    press(page, "ArrowLeft")
    assert picture(page) == pictures[-2]


def test_a_bad_upload_is_told_on_the_page_and_another_photo_still_works(page, tmp_path, photos):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo at all")
    upload(page, bad)
    expect(page.get_by_role("alert")).to_contain_text("bad.jpg is not a photo")
    assert "Traceback" not in page.content()
    page.get_by_role("radio", name="Gallery").click()
    page.get_by_role("button", name="Cat", exact=True).click()
    expect(page.locator(".st-key-picture img")).to_have_attribute("alt", re.compile("^Cat, with"))


@pytest.mark.parametrize("width", [1366, 1440, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_the_side(page, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = page.locator(".st-key-picture img").bounding_box()
    assert box["height"] > 300
    assert box["x"] + box["width"] <= width
    # Photo and caption fit on the screen together, so that nobody scrolls while presenting.
    assert box["y"] + box["height"] <= 800


def test_memory_stays_in_bounds_after_twenty_captions(page, server, photos, tmp_path):
    with Image.open(photos / "astronaut.png") as photo:
        for turn in range(20):
            path = tmp_path / f"{turn}.jpg"
            photo.convert("RGB").resize((1600, 1200)).rotate(turn).save(path)
            before = picture(page)
            upload(page, path)
            expect(page.locator(".st-key-picture img")).not_to_have_attribute("src", before)
    assert server.resident() < RESIDENT_LIMIT
