"""How long the app takes, as seen in the browser.

python -m benchmarks.app [--runs N]

Measured are a step to the next word, another word in its place (What-if), a part of the photo that is hidden, what
mattered for the words, a change of the beam width and the next photo, each until what is new is drawn; and changes of
the width while somebody else uploads a photo of 64 megapixels. For the time to the first caption see benchmarks.start.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.report import spread, summarised
from tests.browser import IN_SHADOWS, PATIENCE, launch, open_player, running_app, upload

# Milliseconds from the next key, click or end of a drag until, at a frame of the screen, the expression is true. In it,
# `label()` says what the player shows, and `before` what it showed before.
WATCH = """() => {
  IN_SHADOWS
  let canvas = null;
  const label = () => {
    if (!canvas?.isConnected) canvas = inShadows(document).find((element) => element.matches(".picture canvas"));
    return canvas?.getAttribute("aria-label");
  };
  const before = label();
  window.taken = new Promise((done) => {
    const begin = (event) => {
      for (const kind of kinds) window.removeEventListener(kind, begin, true);
      const look = () => (EXPRESSION) ? done(performance.now() - event.timeStamp) : requestAnimationFrame(look);
      requestAnimationFrame(look);
    };
    const kinds = ["keydown", "pointerup"];
    for (const kind of kinds) window.addEventListener(kind, begin, true);
  });
}"""
ANOTHER_PICTURE = "label() && label() !== before"


def main() -> None:
    parser = summarised(__doc__)
    parser.add_argument("--runs", type=int, default=3, help="times that the app is started (default: %(default)s)")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright)
        for run in range(arguments.runs):
            with running_app(Path(folder) / f"{run}.txt") as server:
                for what, seconds in measure(browser, server.url, Path(folder)):
                    found.setdefault(what, []).extend(seconds)
        browser.close()
    for what, seconds in found.items():
        print(f"{what}: {spread([1000 * each for each in seconds])} ms, {len(seconds)} times")


def measure(browser: Browser, url: str, folder: Path) -> Iterator[tuple[str, list[float]]]:
    """What somebody does one after the other, and the seconds of each time."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    open_player(page, url)
    yield "step to the next word", measure_steps(page)
    yield "another word (What-if)", measure_what_if(page)
    yield "part of the photo hidden", measure_hidden(page)
    yield "what mattered", [measure_what_mattered(page)]
    yield "change of beam width", measure_widths(page)
    yield "the same while 64 megapixels are uploaded", measure_beside_upload(page, browser, url, large_photo(folder))
    yield "next photo", measure_photos(page)
    page.close()


def seconds_until(page: Page, expression: str, act: Callable[[], object]) -> float:
    """Seconds from what is done until the expression is true, see WATCH; the time to do it is left out."""
    page.evaluate(WATCH.replace("IN_SHADOWS", IN_SHADOWS).replace("EXPRESSION", expression))
    act()
    return page.evaluate("window.taken") / 1000


def measure_steps(page: Page) -> list[float]:
    """Seconds of each step from the photo alone to the last word."""
    count = page.locator(".sentence button").count()
    return [seconds_until(page, ANOTHER_PICTURE, lambda: page.keyboard.press("ArrowRight")) for _ in range(count)]


def measure_what_if(page: Page) -> list[float]:
    """Seconds from each click on the second likeliest word until the caption that follows from it is there."""
    seconds = []
    for word in (1, 2, 3, 4):
        page.locator(".sentence button").nth(word).click()
        seconds.append(measure_change(page, page.locator(".likely button").first.click, "say="))
    return seconds


def measure_hidden(page: Page) -> list[float]:
    """Seconds from the end of each drag over the photo until the caption without that part is there."""
    # What is undone may still be on the screen.
    expect(page.locator(".picture")).to_have_count(1)
    box = page.locator(".picture").bounding_box()
    assert box
    seconds = []
    for share in (0.3, 0.4, 0.5, 0.6, 0.7):
        # A drag is let go when the player is shown again, as it may be after the last change.
        page.wait_for_timeout(500)
        page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"], steps=4)
        seconds.append(measure_change(page, page.mouse.up, "hide="))
    return seconds


def measure_change(page: Page, change: Callable[[], object], named: str) -> float:
    """Seconds until the address, written after the caption, has the change, which is then undone."""
    seconds = seconds_until(page, f"location.search.includes({named!r})", change)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("name => !location.search.includes(name)", arg=named)
    return seconds


def measure_photos(page: Page) -> list[float]:
    """Seconds from a click on Next until the next photo is there with its caption, of photos never seen before."""
    following = page.get_by_role("button", name="Next", exact=True)
    return [seconds_until(page, ANOTHER_PICTURE, following.click) for _ in range(5)]


def measure_what_mattered(page: Page) -> float:
    """Seconds from the choice of the look until what mattered is there."""
    look = page.get_by_role("radio", name="What mattered")
    found = 'inShadows(document).some((element) => element.matches(".note:not([hidden]):not(.waiting)"))'
    seconds = seconds_until(page, found, lambda: look.check(force=True))
    page.get_by_role("radio", name="Heat map").check(force=True)
    return seconds


def measure_widths(page: Page) -> list[float]:
    """Seconds from a key on the slider until a width never searched before is on the page.

    Two widths may find the same caption, so the address shows which it is: it is written after the caption.
    """
    return [change_width(page, width) for width in (4, 3, 2, 1)]


def change_width(page: Page, width: int) -> float:
    """Seconds until the page shows the next width, which is this one."""
    now = int(page.url.partition("beam=")[2].partition("&")[0])
    slider = page.get_by_role("slider", name="Beam width")
    key = "ArrowLeft" if width < now else "ArrowRight"
    return seconds_until(page, f'location.search.includes("beam={width}&")', lambda: slider.press(key))


def large_photo(folder: Path) -> Path:
    """A photo of 64 megapixels, in the mode that takes longest to read."""
    path = folder / "large.png"
    if not path.exists():
        shade = Image.radial_gradient("L").resize((8000, 8000))
        Image.merge("RGBA", (shade, shade, shade, shade)).save(path, compress_level=1)
    return path


def measure_beside_upload(page: Page, browser: Browser, url: str, photo: Path) -> list[float]:
    """Seconds of each change of the width, from when somebody else hands the photo over until it is on their page."""
    other = browser.new_page()
    other.set_default_timeout(PATIENCE)
    open_player(other, f"{url}/?photo=Cat")
    upload(other, photo)
    seconds = []
    while not other.locator(f'.picture canvas[aria-label^="{photo.name}"]').count():
        # There and back between 1, at which the page stands, and 2.
        seconds.append(change_width(page, 2 - len(seconds) % 2))
    other.close()
    return seconds


if __name__ == "__main__":
    main()
