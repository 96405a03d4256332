"""From a command to the first caption: the app on screen, and the command line.

python -m benchmarks.start --data ../shared/flickr8k --baseline CHECKOUT [--runs 7]

Every run is a new process whose files have been read before. The app is timed from the command until the player has
drawn its photo in a browser that is already open, in turns with a Streamlit page that only writes a word and with the
app of a baseline commit.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.processes import MEGABYTE, ROOT, Run, photos_of, run
from benchmarks.report import HEAD, Finding, parser_of, rows, spread
from tests.browser import PATIENCE, launch, open_player, running_app

EMPTY_PAGE = 'import streamlit as st\n\nst.write("Hello")\n'


def screens(baseline: Path, runs: int) -> dict[str, list[float]]:
    """Seconds until each page is on screen, in every run."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        empty = Path(folder, "empty")
        empty.mkdir()
        (empty / "app.py").write_text(EMPTY_PAGE)
        pages = {"ours": (ROOT, open_player), "empty": (empty, open_empty), "baseline": (baseline, open_player)}
        times = {name: [] for name in pages}
        browser, log = launch(playwright), Path(folder, "log.txt")
        # One round more, which reads the files.
        for _ in range(1 + runs):
            for name, (root, show) in pages.items():
                times[name].append(until_shown(browser, root, show, log))
        browser.close()
    return {name: taken[1:] for name, taken in times.items()}


def open_empty(page: Page, url: str) -> None:
    page.goto(url)
    # At every frame, as `wait_for_picture` does.
    page.wait_for_function("() => document.body.innerText.includes('Hello')")


def until_shown(browser: Browser, root: Path, show: Callable[[Page, str], None], log: Path) -> float:
    started = time.perf_counter()
    with running_app(log, root=root) as server:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        show(page, server.url)
        seconds = time.perf_counter() - started
        page.close()
    return seconds


def commands(photo: Path, baseline: Path, runs: int) -> tuple[list[Run], list[Run]]:
    """`python -m captioning caption PHOTO`, of ours and of the baseline in turns."""
    sides = [
        [run(checkout, "-m", "captioning", "caption", photo) for checkout in (ROOT, baseline)] for _ in range(1 + runs)
    ]
    ours, theirs = zip(*sides[1:], strict=True)
    return list(ours), list(theirs)


def measure(photo: Path, baseline: Path, runs: int) -> list[Finding]:
    """The lines of the bar."""
    ours, theirs = commands(photo, baseline, runs)
    shown = screens(baseline, runs)
    more = [our - empty for our, empty in zip(shown["ours"], shown["empty"], strict=True)]
    command = "`captioning caption photo.jpg`, the whole process"
    return [
        Finding("command to an empty Streamlit page on screen, s", "", spread(shown["empty"], 2)),
        Finding(
            "command to the first caption on screen, s", "", spread(shown["ours"], 2), spread(shown["baseline"], 2)
        ),
        Finding("… more than the empty page, s", "≤ 0.8", spread(more, 2)),
        Finding(f"{command}, s", "≤ 0.9", *(spread([each.seconds for each in side], 2) for side in (ours, theirs))),
        Finding(
            f"{command}, peak MB", "", *(spread([each.peak / MEGABYTE for each in side]) for side in (ours, theirs))
        ),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=7, help="default: %(default)s")
    arguments = parser.parse_args()
    print(HEAD, *rows(measure(photos_of(arguments.data)[0], arguments.baseline, arguments.runs), "start"), sep="\n")


if __name__ == "__main__":
    main()
