"""The app under many people: whether each sees the right caption of the right photo, what the log says, and memory.

python -m benchmarks.soak [--people N] [--seconds S]

Browsers step through captions, change the beam width, also several times before the page has followed, choose and
upload photos, upload a file that is not a photo, look at other views, have the model say another word, download several
files at once, and close in the middle of it all, when another comes. Every caption on a page is compared with the one
that the model gives for that photo and width alone.
Resident memory is that of the server's process.
"""

import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Download, Error, Page, async_playwright, expect

from benchmarks.processes import MEGABYTE
from benchmarks.report import Finding, summarised
from captioning import DEFAULT_CHECKPOINT, Captioner, SearchOptions, open_image
from captioning.page.gallery import sample_photos
from captioning.visualize.formats import FORMATS, ON_PAGE
from tests.browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE, Server, in_gallery, running_app

PEOPLE = 12
UPLOADS = 12
# How each downloaded file begins.
MAGIC = {"gif": b"GIF89a", "png": b"\x89PNG", "json": b"{", "html": b"<"}
# How often people do what, in a hundred.
HABITS = {
    "step": 40,
    "widen": 15,
    "drag": 8,
    "choose": 12,
    "upload": 7,
    "upload_none": 4,
    "look_elsewhere": 6,
    "say_instead": 4,
    "download": 4,
}


@dataclass
class Report:
    """What came of it: how often each thing was done, what went wrong, and the server's memory by the second."""

    done: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)


class Photos:
    """The photos that are shown, and the captions that the model gives for each of them alone."""

    def __init__(self, folder: Path):
        self.files = sample_photos()
        self.titles = list(self.files)
        self.uploads = []
        with Image.open(self.files["Astronaut"]) as photo:
            for turn in range(UPLOADS):
                path = folder / f"turned-{turn}.jpg"
                photo.convert("RGB").resize((1600, 1200)).rotate(27 * turn).save(path)
                self.uploads.append(path)
                self.files[path.name] = path
        self.none = folder / "none.jpg"
        self.none.write_text("no photo at all")
        captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT)

        @cache
        def caption(name: str, width: int) -> str:
            return captioner(open_image(self.files[name]), SearchOptions(beam_size=width)).text

        self.caption = caption


class Person:
    """Somebody with a browser: what is on the page, and what they may do next."""

    def __init__(self, page: Page, photos: Photos, chance: random.Random, report: Report):
        self.page, self.photos, self.chance, self.report = page, photos, chance, report
        self.photo, self.width = "Astronaut", 5
        self.move = "open"

    async def open(self, url: str) -> None:
        self.photo, self.width = self.chance.choice(self.photos.titles), self.chance.randint(1, 10)
        await self.page.goto(f"{url}/?photo={self.photo}&beam={self.width}")
        await self.check("open")

    async def act(self) -> None:
        [self.move] = self.chance.choices(list(HABITS), list(HABITS.values()))
        await getattr(self, self.move)()
        self.report.done[self.move] += 1

    async def step(self) -> None:
        await self.page.evaluate("document.activeElement?.blur()")
        await self.page.keyboard.press(self.chance.choice(["ArrowRight", "ArrowRight", "ArrowLeft"]))
        await self.page.wait_for_timeout(150)

    async def widen(self) -> None:
        await self._move_slider()
        await self.page.wait_for_url(re.compile(f"beam={self.width}&"), wait_until="commit")
        await self.check("widen")

    async def drag(self) -> None:
        for _ in range(self.chance.randint(2, 6)):
            await self._move_slider()
            await self.page.wait_for_timeout(self.chance.choice([0, 100, 300]))
        await self.widen()

    async def choose(self) -> None:
        await self.page.get_by_role("radio", name="Gallery").click()
        self.photo = self.chance.choice(self.photos.titles)
        await in_gallery(self.page, self.photo).click()
        await self.check("choose")

    async def upload(self) -> None:
        path = self.chance.choice(self.photos.uploads)
        await self._hand_over(path)
        self.photo = path.name
        await self.check("upload")

    async def upload_none(self) -> None:
        await self._hand_over(self.photos.none)
        await expect(self.page.get_by_role("alert")).to_contain_text("none.jpg is not a photo")
        await self.choose()

    async def look_elsewhere(self) -> None:
        await self.page.get_by_role("radio", name="Beam search").click()
        await expect(self.page.get_by_role("table").first).to_contain_text(self.photos.caption(self.photo, self.width))
        await self.page.get_by_role("radio", name="Step through").click()
        await self.check("look elsewhere")

    async def say_instead(self) -> None:
        await self.page.evaluate("document.activeElement?.blur()")
        await self.page.keyboard.press("Home")
        await self.page.locator(".likely button").first.click()
        await expect(self.page.locator(".sentence")).to_have_count(2)
        await self.page.get_by_role("button", name="Undo").click()
        await expect(self.page.locator(".sentence")).to_have_count(1)
        await self.check("say instead")

    async def download(self) -> None:
        suffixes, came = self.chance.sample(list(ON_PAGE), self.chance.randint(1, len(ON_PAGE))), []

        def note(file: Download) -> None:
            came.append(file)

        self.page.on("download", note)
        async with self.page.expect_event("download", lambda _: len(came) == len(suffixes)):
            for suffix in suffixes:
                await self._ask_for(FORMATS[suffix].name)
        self.page.remove_listener("download", note)
        await self.page.keyboard.press("Escape")
        files = {Path(file.suggested_filename).suffix[1:]: (await file.path()).read_bytes() for file in came}
        if files.keys() != set(suffixes):
            self.report.wrong.append(f"of {suffixes} came {list(files)}")
        for suffix, data in files.items():
            if not data.startswith(MAGIC[suffix]):
                self.report.wrong.append(f"a file of {suffix} begins with {data[:20]!r}")
        if "json" in files:
            self._compare("download", json.loads(files["json"])["caption"])

    async def check(self, after: str) -> None:
        """The page comes to show the photo, and says of it what the model says."""
        canvas = self.page.locator(".picture canvas").first
        await expect(canvas).to_have_attribute("aria-label", re.compile(f"^{re.escape(self.photo)},"))
        expected = self.photos.caption(self.photo, self.width)
        try:
            # Another caption may still be on its way.
            await expect(self.page.locator(".sentence").first).to_have_attribute("aria-label", expected, timeout=20_000)
        except AssertionError:
            self._compare(after, await self.page.locator(".sentence").first.get_attribute("aria-label"))

    async def _move_slider(self) -> None:
        wider = self.width == 1 or (self.width < 10 and self.chance.random() < 0.5)
        self.width += 1 if wider else -1
        await self.page.get_by_role("slider", name="Beam width").press("ArrowRight" if wider else "ArrowLeft")

    async def _ask_for(self, name: str) -> None:
        button = self.page.get_by_role("button", name=name)
        if not await button.is_visible():
            await self.page.get_by_role("button", name="Download").click()
        # From where the pointer is, the explanation of another button may lie over this one.
        await self.page.mouse.move(0, 0)
        await button.click()

    async def _hand_over(self, path: Path) -> None:
        await self.page.get_by_role("radio", name="Upload").click()
        await self.page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(path)

    def _compare(self, after: str, caption: str | None) -> None:
        if caption != self.photos.caption(self.photo, self.width):
            self.report.wrong.append(f"after {after}: {self.photo} at width {self.width} is said to be {caption!r}")


async def be_people(browser: Browser, url: str, photos: Photos, chance: random.Random, report: Report, end: float):
    """One person after another, each for a few dozen moves; every third closes in the middle of a search."""
    while time.monotonic() < end:
        context = await browser.new_context(viewport={"width": 1366, "height": 768})
        context.set_default_timeout(PATIENCE)
        person = Person(await context.new_page(), photos, chance, report)
        try:
            await person.open(url)
            for _ in range(chance.randint(5, 40)):
                if time.monotonic() > end:
                    break
                await person.act()
            if chance.random() < 1 / 3:
                await person.page.get_by_role("slider", name="Beam width").press("Home")
                report.done["close during a search"] += 1
        except (AssertionError, Error) as error:
            wrong = str(error).splitlines()[0]
            report.wrong.append(f"{person.photo} at width {person.width}, {person.move}, {person.page.url}: {wrong}")
        await context.close()
        report.done["session"] += 1


async def watch(server: Server, report: Report, end: float) -> None:
    while time.monotonic() < end:
        report.memory.append(server.resident())
        await asyncio.sleep(1)


async def run(server: Server, photos: Photos, people: int, seconds: float, report: Report) -> None:
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        end = time.monotonic() + seconds
        chances = [random.Random(index) for index in range(people)]
        persons = [be_people(browser, server.url, photos, chance, report, end) for chance in chances]
        await asyncio.gather(watch(server, report, end), *persons)
        await browser.close()


def soak(people: int, seconds: float) -> Report:
    """Let people use an app for some time, and report what came of it."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with running_app(log) as server:
            asyncio.run(run(server, Photos(Path(folder)), people, seconds, report))
        lines = log.read_text().splitlines()
    report.tracebacks = [line for line in lines if re.search("Traceback|Error|error", line)]
    return report


def measure(people: int, seconds: float) -> list[Finding]:
    """The lines of the bar."""
    report = soak(people, seconds)
    what = f"resident memory of the app with {people} people for {seconds:.0f} s, the most, MB"
    return [
        Finding(what, "≤ 500", f"{max(report.memory) / MEGABYTE:.0f}"),
        Finding("… wrong captions and other faults", "0", str(len(report.wrong) + len(report.tracebacks))),
    ]


def main() -> None:
    parser = summarised(__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE, help="at a time (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="default: %(default)s")
    arguments = parser.parse_args()
    report = soak(arguments.people, arguments.seconds)
    done = ", ".join(f"{habit.replace('_', ' ')} {count}" for habit, count in sorted(report.done.items()))
    print(f"{arguments.people} people at a time, {arguments.seconds:.0f} s: {done}")
    print(f"wrong: {len(report.wrong)}; errors in the log: {len(report.tracebacks)}")
    tenth = -(-len(report.memory) // 10)
    tenths = (report.memory[start : start + tenth] for start in range(0, len(report.memory), tenth))
    medians = ", ".join(f"{statistics.median(part) / MEGABYTE:.0f}" for part in tenths)
    print(f"resident in MB, medians of each tenth of the time: {medians}; most {max(report.memory) / MEGABYTE:.0f}")
    print("\n".join([*report.wrong[:20], *report.tracebacks[:20]]))


if __name__ == "__main__":
    main()
