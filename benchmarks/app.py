"""How long the app takes, as seen in the browser.

python -m benchmarks.app [--runs N]

Measured are the time from starting the command to the first caption on screen (nothing of the app is running before),
a step to the next word, and a change of the beam width, each until what is new is drawn.
"""

import argparse
import re
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import PATIENCE, launch, open_player, running_app

# Presses the right arrow key and waits until the player's canvas has other pixels and the screen has been drawn.
STEP = """canvas => new Promise((done) => {
  const before = canvas.toDataURL();
  const started = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  const look = () => requestAnimationFrame(() =>
    canvas.toDataURL() === before ? look() : done(performance.now() - started));
  look();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="times that the app is started (default: %(default)s)")
    arguments = parser.parse_args()
    starts, steps, widths = [], [], []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright)
        for run in range(arguments.runs):
            started = time.perf_counter()
            with running_app(Path(folder) / f"{run}.txt") as server:
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.set_default_timeout(PATIENCE)
                open_player(page, server.url)
                starts.append(time.perf_counter() - started)
                steps += measure_steps(page)
                widths += measure_widths(page)
                page.close()
        browser.close()
    report("command to first caption", starts, "s")
    report("step to the next word", [1000 * seconds for seconds in steps], "ms")
    report("change of beam width", [1000 * seconds for seconds in widths], "ms")


def measure_steps(page: Page) -> list[float]:
    """Seconds of each step from the first word to the last."""
    count = page.locator(".sentence button").count()
    return [page.locator(".picture canvas").evaluate(STEP) / 1000 for _ in range(count - 1)]


def measure_widths(page: Page) -> list[float]:
    """Seconds from a key on the slider until a width never searched before is on the page.

    Two widths may find the same caption, so that it is the address that tells: it is written after the caption.
    """
    seconds = []
    thumb = page.get_by_role("slider", name="Beam width")
    for width in (4, 3, 2, 1):
        started = time.perf_counter()
        thumb.press("ArrowLeft")
        page.wait_for_url(re.compile(f"beam={width}&"), wait_until="commit")
        seconds.append(time.perf_counter() - started)
    return seconds


def report(what: str, values: list[float], unit: str) -> None:
    digits = 1 if unit == "s" else 0
    print(
        f"{what}: median {statistics.median(values):.{digits}f} {unit}, least {min(values):.{digits}f}, "
        f"most {max(values):.{digits}f}, {len(values)} times"
    )


if __name__ == "__main__":
    main()
