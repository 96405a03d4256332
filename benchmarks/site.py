"""How long the page without a server takes, as seen in a browser.

python -m benchmarks.site [--checkpoint FILE] [--runs N]

Measured in headless Chromium, on one thread and where the host isolates the page: from opening the page, whose files
the browser has kept, to its first caption; from choosing a photo, and another word, until the player has drawn it.
"""

import gzip
import tempfile
import time
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from benchmarks.processes import MEGABYTE, run
from benchmarks.report import HEAD, Finding, rows, spread, summarised
from captioning import DEFAULT_CHECKPOINT
from tests.browser import ISOLATION, PATIENCE, ROOT, launch, serving, wait_for_picture

# Clicks on an element, and waits until as many captions, not all of them those from before, are on the screen.
CLICK = """([selector, index, count]) => new Promise((done) => {
  const said = () => [...document.querySelectorAll(".sentence")].map((each) => each.getAttribute("aria-label"));
  const before = said().join();
  const started = performance.now();
  document.querySelectorAll(selector)[index].click();
  const look = () => requestAnimationFrame(() =>
    said().length === count && said().join() !== before ? done(performance.now() - started) : look());
  look();
})"""


def measure(folder: Path, runs: int, headers: dict[str, str] | None) -> dict[str, list[float]]:
    """Milliseconds of each thing that somebody does."""
    found: dict[str, list[float]] = {"opened": [], "photo": [], "word": []}
    with sync_playwright() as playwright, serving(folder, headers) as url:
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(PATIENCE)
        # Once more, for the files to be kept.
        for _ in range(1 + runs):
            milliseconds, page = opened(context, url)
            found["opened"].append(milliseconds)
            page.evaluate("navigator.serviceWorker.ready")
            photos = page.locator("#gallery input").count()
            for index in range(1, photos) if len(found["opened"]) > runs else ():
                found["photo"].append(page.evaluate(CLICK, ["#gallery input", index, 1]))
                found["word"].append(page.evaluate(CLICK, [".likely button", 0, 2]))
                page.evaluate(CLICK, ["#undo", 0, 1])
            page.close()
        browser.close()
    return {**found, "opened": found["opened"][1:]}


def opened(context: BrowserContext, url: str) -> tuple[float, Page]:
    page = context.new_page()
    started = time.perf_counter()
    page.goto(url)
    wait_for_picture(page)
    return 1000 * (time.perf_counter() - started), page


def findings(folder: Path, runs: int) -> list[Finding]:
    """The lines of the bar."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    size, compressed = (sum(map(len, each)) / MEGABYTE for each in (files, map(gzip.compress, files)))
    lines = [
        Finding("the page's folder, MB", "≤ 32", f"{size:.1f}"),
        Finding("… compressed by gzip, MB", "≤ 16", f"{compressed:.1f}"),
    ]
    for threads, headers in (("one thread", None), ("isolated", ISOLATION)):
        found = measure(folder, runs, headers)
        lines += [
            Finding(f"the page opened again to its first caption, {threads}, ms", "≤ 3,000", spread(found["opened"])),
            Finding(f"a new photo, {threads}, ms", "≤ 400", spread(found["photo"])),
            Finding(f"another word, {threads}, ms", "≤ 150", spread(found["word"])),
        ]
    return lines


def main() -> None:
    parser = summarised(__doc__)
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=7, help="times that the page is opened (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(ROOT, "-m", "captioning", "site", "--checkpoint", arguments.checkpoint.resolve(), "-o", folder)
        print(HEAD, *rows(findings(Path(folder), arguments.runs), "site"), sep="\n")


if __name__ == "__main__":
    main()
