"""The app under many people and many photos: whose photo they see, what the log says, and what memory does.

python -m benchmarks.soak [--people N] [--seconds S] [--photos N]

First N browsers step and change widths for S seconds, each with a photo of its own. Then one of them is shown N photos
one after another. Resident memory is that of the server's process.
"""

import argparse
import random
import re
import statistics
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from captioning.data.gallery import sample_photos
from tests.browser import PATIENCE, Server, launch, open_player, running_app

expect.set_options(timeout=PATIENCE)
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--photos", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with running_app(log) as server:
            if arguments.people:
                many_people(server, arguments.people, arguments.seconds)
            if arguments.photos:
                many_photos(server, arguments.photos, Path(folder))
        mistakes = [line for line in log.read_text().splitlines() if re.search("Traceback|Error|error", line)]
    print(f"errors in the log: {len(mistakes)}")
    print("\n".join(mistakes[:20]))


def many_people(server: Server, people: int, seconds: float) -> None:
    """Each in a thread with a browser; memory is read every second."""
    titles = list(sample_photos())
    strangers: list[str] = []
    memory: list[int] = []
    moves = [0] * people
    ready = threading.Barrier(people + 1)
    over = threading.Event()

    def person(index: int) -> None:
        chance = random.Random(index)
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            page.set_default_timeout(PATIENCE)
            title = titles[index % len(titles)]
            open_player(page, f"{server.url}/?photo={title}")
            ready.wait()
            while not over.is_set():
                move(page, chance)
                moves[index] += 1
                shown = page.locator(".picture canvas").get_attribute("aria-label")
                if not shown.startswith(f"{title},"):
                    strangers.append(f"{title} saw {shown}")
            browser.close()

    threads = [threading.Thread(target=person, args=(index,)) for index in range(people)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        memory.append(server.resident())
        time.sleep(1)
    over.set()
    for thread in threads:
        thread.join()
    minute = min(60, len(memory) // 2)
    first, last = statistics.median(memory[:minute]), statistics.median(memory[-minute:])
    print(f"{people} people, {seconds:.0f} s, {sum(moves)} moves; saw another's photo: {len(strangers)}")
    print(
        f"resident: first minute {first / MIB:.0f} MiB, last {last / MIB:.0f} MiB "
        f"(medians; {last / first - 1:+.1%}), most {max(memory) / MIB:.0f} MiB"
    )
    print("\n".join(strangers[:10]))


def move(page: Page, chance: random.Random) -> None:
    """A step, or once in a while another beam width."""
    if chance.random() < 0.8:
        page.evaluate("document.activeElement?.blur()")
        page.keyboard.press(chance.choice(["ArrowRight", "ArrowRight", "ArrowLeft"]))
        page.wait_for_timeout(150)
        return
    width = int(re.search(r"beam=(\d+)", page.url)[1])
    wider = width == 1 or (width < 10 and chance.random() < 0.5)
    page.get_by_role("slider", name="Beam width").press("ArrowRight" if wider else "ArrowLeft")
    # Two widths may find the same caption, so that it is the address that tells.
    page.wait_for_url(re.compile(f"beam={width + 1 if wider else width - 1}&"), wait_until="commit")


def many_photos(server: Server, count: int, folder: Path) -> None:
    """Uploads, each a photo that the app has not seen."""
    memory = []
    with sync_playwright() as playwright, Image.open(sample_photos()["Astronaut"]) as photo:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(PATIENCE)
        open_player(page, server.url)
        page.get_by_role("radio", name="Upload").click()
        for turn in range(1, count + 1):
            path = folder / f"{turn}.jpg"
            photo.convert("RGB").resize((1600, 1200)).rotate(7 * turn).save(path)
            page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(path)
            expected = re.compile(rf"^{turn}\.jpg")
            expect(page.locator(".picture canvas")).to_have_attribute("aria-label", expected)
            memory.append(server.resident())
        browser.close()
    tenth = memory[min(9, count - 1)]
    print(
        f"{count} photos in one session: resident after the tenth {tenth / MIB:.0f} MiB, "
        f"after the last {memory[-1] / MIB:.0f} MiB ({memory[-1] / tenth - 1:+.1%})"
    )


if __name__ == "__main__":
    main()
