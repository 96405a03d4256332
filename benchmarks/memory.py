"""Resident memory of the app with one person: after its first caption, and after more photos.

python -m benchmarks.memory --data ../shared/flickr8k --baseline CHECKOUT [--photos 50] [--runs 3]

The photos are uploaded one after the other in one session. Twelve people at a time are benchmarks.soak.
"""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from benchmarks.processes import MEGABYTE, ROOT, photos_of
from benchmarks.report import HEAD, Finding, parser_of, rows, spread
from tests.browser import PATIENCE, launch, open_player, running_app, upload


def resident(browser: Browser, root: Path, photos: list[Path], log: Path) -> tuple[float, float]:
    """Megabytes after the first caption, and after those of all photos."""
    with running_app(log, root=root) as server:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        open_player(page, server.url)
        first = server.resident()
        for photo in photos:
            upload(page, photo)
            drawn = page.locator(".picture canvas").first
            expect(drawn).to_have_attribute("aria-label", re.compile(f"^{re.escape(photo.name)}"), timeout=PATIENCE)
        last = server.resident()
        page.close()
    return first / MEGABYTE, last / MEGABYTE


def measure(photos: list[Path], baseline: Path, runs: int) -> list[Finding]:
    """The lines of the bar."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser, log = launch(playwright), Path(folder, "log.txt")
        sides = [[resident(browser, root, photos, log) for root in (ROOT, baseline)] for _ in range(runs)]
        browser.close()
    # By what was measured, then by side.
    values = [[spread(taken) for taken in zip(*side, strict=True)] for side in zip(*sides, strict=True)]
    first, last = zip(*values, strict=True)
    return [
        Finding("resident memory of the app after its first caption, MB", "≤ 280", *first),
        Finding(f"resident memory of the app after {len(photos)} photos, MB", "≤ 350", *last),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--photos", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    photos = photos_of(arguments.data)[: arguments.photos]
    print(HEAD, *rows(measure(photos, arguments.baseline, arguments.runs), "memory"), sep="\n")


if __name__ == "__main__":
    main()
