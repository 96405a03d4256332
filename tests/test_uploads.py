"""Photos of many people: the server keeps each as it is shown, and not the file."""

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import CHROMIUM, PATIENCE, open_player, running_app, upload

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
PEOPLE, UPLOADS, FILE_SIZE = 15, 2, 30 * 2**20
MOST_LEFT, SECONDS_TO_FORGET = 60 * 2**20, 60


def upload_and_wait(page: Page, photo: Path, path: Path) -> None:
    """Upload a photo as large as a file may be, and wait until it is shown and the uploader has let go of it."""
    content = photo.read_bytes()
    # Whatever stands behind the end of a photo is not looked at.
    path.write_bytes(content + os.urandom(FILE_SIZE - len(content)))
    upload(page, path)
    expect(page).to_have_title(f"{path.name} · Show, Attend and Tell")
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", f"{path.name}, before the first word")
    path.unlink()


def test_thirty_uploads_of_fifteen_people_leave_the_memory_where_it_was(browser: Browser, photos, tmp_path):
    with running_app(tmp_path / "log.txt") as server:
        pages = [browser.new_page() for _ in range(PEOPLE)]
        for page in pages:
            page.set_default_timeout(PATIENCE)
            open_player(page, server.url)
        before = server.resident()
        for number in range(UPLOADS):
            for person, page in enumerate(pages):
                upload_and_wait(page, photos / "coffee.jpg", tmp_path / f"{person}-{number}.jpg")
        for page in pages:
            page.close()
        closed = time.monotonic()
        while server.resident() > before + MOST_LEFT:
            assert time.monotonic() < closed + SECONDS_TO_FORGET, (before, server.resident())
            time.sleep(1)
