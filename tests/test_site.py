"""The page without a server: its search and pixels are Python's, and it needs its host alone, and that once."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import ndiff
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from captioning import DEFAULT_CHECKPOINT, Captioner, CaptioningError, SearchOptions, hide, open_image
from captioning.__main__ import main
from captioning.data.datasets import read_dataset
from captioning.inference.backend import EncodedPhoto
from captioning.inference.captioner import EncodedPhotos
from captioning.visualize.looks import LOOKS
from captioning.visualize.overlay import attention_map, half_outlines
from captioning.visualize.player.data import drawing
from captioning.visualize.site.runtime import runtime_files
from captioning.vocabulary import END
from tests.browser import CHROMIUM, ISOLATION, PATIENCE, ROOT, current, serving, wait_for_picture, words
from tests.test_accessibility import violations

CODE = ROOT / "captioning" / "visualize"
NODE, FIREFOX = shutil.which("node"), shutil.which("firefox-esr") or shutil.which("firefox")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

expect.set_options(timeout=PATIENCE)


def write(folder: Path, *arguments: object) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["captioning", "site", "-o", str(folder), *map(str, arguments)])
        assert main() == 0
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site of the default checkpoint in float32, whose captions are Python's."""
    try:
        runtime_files()
    except CaptioningError as error:
        pytest.skip(str(error))
    return write(tmp_path_factory.mktemp("site"), "--precision", "float32")


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    return Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", "float32")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        context.set_default_timeout(PATIENCE)
        yield context


def open_site(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    wait_for_picture(page)
    return page


# The search


def dev_pixels(captioner: Captioner, flickr8k: Path, count: int) -> list[np.ndarray]:
    return [captioner.pixels(open_image(each.photo)) for each in read_dataset(flickr8k).split("dev")[:count]]


def in_node(site: Path, folder: Path, pixels: list[np.ndarray], searches: list[list]) -> list[list]:
    """What the page's search finds, for each photo its searches of (beam width, tokens of the prefix)."""
    for index, photo in enumerate(pixels):
        (folder / f"{index}.bin").write_bytes(photo.tobytes())
    jobs = [{"pixels": str(folder / f"{index}.bin"), "searches": each} for index, each in enumerate(searches)]
    command = [NODE, ROOT / "tests" / "search_in_node.mjs", CODE, site]

    def run(part: int) -> list[list]:
        path = folder / f"{part}.json"
        path.write_text(json.dumps(jobs[part::2]))
        return json.loads(subprocess.run([*command, path], stdout=subprocess.PIPE, text=True, check=True).stdout)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(run, range(2)))
    return [found[index % 2][index // 2] for index in range(len(jobs))]


def in_python(captioner: Captioner, pixels: list[np.ndarray], searches: list[list]) -> list[list]:
    """The same, from the package."""
    vocabulary = captioner.info.vocabulary.words

    def search(photo: EncodedPhoto, width: int, prefix: list[int]) -> tuple[str, float, float | None]:
        photos, words = EncodedPhotos([photo], 0), [vocabulary[token] for token in prefix]
        [caption] = captioner.describe(photos, SearchOptions(beam_size=width), [words])
        return caption.text, caption.log_probability, caption.sureness

    photos = captioner.encode(pixels).photos
    return [[search(photo, *each) for each in wanted] for photo, wanted in zip(photos, searches, strict=True)]


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
def test_the_search_in_node_is_pythons(site, captioner, flickr8k, tmp_path):
    """200 photos at the usual beam width; of the first ten all widths, and prefixes of a word, of more, and an end."""
    pixels = dev_pixels(captioner, flickr8k, 200)
    encode = captioner.info.vocabulary.encode
    prefixes = [encode(words.split())[1:-1] for words in ("two", "a man in", "the dog", "a")]
    prefixes.append([*prefixes[1], END])
    several = [[width, []] for width in range(1, 11)] + [[width, prefix] for width in (1, 5) for prefix in prefixes]
    searches = [several if index < 10 else [[5, []]] for index in range(len(pixels))]
    compare(in_node(site, tmp_path, pixels, searches), in_python(captioner, pixels, searches))


def compare(ours: list[list], theirs: list[list]) -> None:
    for our, their in zip(ours, theirs, strict=True):
        for (text, log_probability, sureness), expected in zip(our, their, strict=True):
            assert text == expected[0]
            assert log_probability == pytest.approx(expected[1], abs=1e-3)
            assert sureness == (expected[2] and pytest.approx(expected[2], abs=0.1))


@pytest.mark.parametrize("headers", [None, ISOLATION], ids=["one thread", "threads"])
def test_the_search_in_chromium_is_pythons(site, context, captioner, flickr8k, headers):
    pixels = dev_pixels(captioner, flickr8k, 12)
    jobs = [base64.b64encode(photo.tobytes()).decode() for photo in pixels]
    with serving(site, headers) as url:
        page = open_site(context, url)
        expect(page.locator("#timing")).to_contain_text(" threads" if headers else "one thread")
        ours = page.evaluate(SEARCH, jobs)
    compare([[each] for each in ours], in_python(captioner, pixels, [[[5, []]]] * len(pixels)))


@pytest.mark.parametrize(("headers", "count"), [(None, 200), (ISOLATION, 20)], ids=["one thread", "threads"])
def test_the_search_in_integers_in_chromium_is_pythons(site, context, flickr8k, tmp_path, headers, count):
    site = write(tmp_path / "site", "--precision", "int8")
    captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu", "int8")
    pixels = dev_pixels(captioner, flickr8k, count)
    jobs = [base64.b64encode(photo.tobytes()).decode() for photo in pixels]
    with serving(site, headers) as url:
        page = open_site(context, url)
        expect(page.locator("#timing")).to_contain_text(" threads" if headers else "one thread")
        ours = [each for start in range(0, count, 20) for each in page.evaluate(SEARCH, jobs[start : start + 20])]
    compare([[each] for each in ours], in_python(captioner, pixels, [[[5, []]]] * count))


SEARCH = """async (jobs) => {
  const found = [];
  for (const pixels of jobs) {
    const photo = await encodePhoto(model, bytes(pixels));
    const caption = describeCaption(model, (await beamSearch(model, photo, 5))[0], 5);
    found.push([caption.text, caption.logProbability, caption.sureness]);
  }
  return found;
}"""


# The pixels


def files_of_photos(photos: Path, flickr8k: Path) -> dict[str, bytes]:
    """Twenty photos: as they are, turned by EXIF, larger than is kept, thin, gray, transparent, in other formats."""
    files = {path.name: path.read_bytes() for path in sorted(photos.glob("*.jpg"))[:8]}
    files |= {each.photo.name: each.photo.read_bytes() for each in read_dataset(flickr8k).split("dev")[:3]}
    photo = Image.open(photos / "coffee.jpg")
    for orientation in (3, 6, 7):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"turned {orientation}"] = saved(photo, "JPEG", quality=95, exif=exif)
    files["large"] = saved(photo.resize((2500, 1999), Image.Resampling.BICUBIC), "JPEG", quality=95)
    files["thin"] = saved(photo.resize((1900, 41)), "PNG")
    files["small"] = saved(photo.resize((31, 47)), "PNG")
    files["gray"] = saved(photo.convert("L"), "PNG")
    transparent = photo.convert("RGBA")
    transparent.putalpha(Image.radial_gradient("L").resize(photo.size))
    files["transparent"] = saved(transparent, "PNG")
    files["lossless"] = saved(photo, "WEBP", lossless=True)
    return files


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_photos_are_opened_and_resized_as_pillow_does(site, context, captioner, photos, flickr8k):
    files = files_of_photos(photos, flickr8k)
    assert len(files) == 20
    with serving(site) as url:
        page = open_site(context, url)
        for name, data in files.items():
            for hidden in ([], [(0.1, 0.25, 0.6, 0.8), (0.333, 0, 1, 0.1)]):
                ours = base64.b64decode(page.evaluate(PIXELS, [base64.b64encode(data).decode(), hidden]))
                assert ours == captioner.pixels(hide(open_image(data), hidden)).tobytes(), (name, hidden)


PIXELS = """async ([data, hidden]) => {
  const photo = await openPhoto(new Blob([bytes(data)]), "photo", description.photo.most);
  const pixels = toPixels(withoutParts(photo, hidden, description.drawing.gray), model.image_size);
  const parts = [];
  for (let at = 0; at < pixels.length; at += 8192) parts.push(String.fromCharCode(...pixels.subarray(at, at + 8192)));
  return btoa(parts.join(""));
}"""


def test_attention_is_drawn_as_in_pictures(site, context, captioner, photos):
    steps = captioner(photos / "astronaut.jpg").steps
    data = {**drawing(LOOKS), "grid": {"rows": 8, "columns": 8}}
    with serving(site) as url:
        page = open_site(context, url)
        for step in steps:
            attention = step.attention.flatten().tolist()
            drawn, outlines = page.evaluate(DRAWN, [{"attention": attention}, data])
            assert np.abs(np.reshape(drawn, (64, 64)) - attention_map(step.attention).astype(int)).max() <= 1
            lines = half_outlines(step.attention)
            assert len(outlines) == len(lines)
            # The same points, wherever a line begins.
            ours = sorted(tuple(point) for line in outlines for point in np.reshape(line, (-1, 2)).round(3).tolist())
            theirs = sorted(tuple(point) for line in lines for point in line[:-1].round(3).tolist())
            np.testing.assert_allclose(ours, theirs, atol=0.002)


DRAWN = """([step, data]) => [[...attentionMap(step, data)], halfOutlines(enlarge(step, data), data.map_size)]"""


# The page


def test_it_asks_nobody_else_and_works_without_a_network(site, context, captioner, photos):
    asked, wrong = set(), []
    context.on("request", lambda request: asked.add(request.url.partition("/")[2]))
    context.on("console", lambda message: wrong.append(message.text))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    with serving(site) as url:
        page = open_site(context, url)
        page.evaluate("navigator.serviceWorker.ready")
        page.close()
    # The server is gone.
    page = open_site(context, url)
    page.locator("input[type=file]").last.set_input_files(photos / "pizza.jpg")
    expect(page.locator(".sentence")).to_have_attribute("aria-label", captioner(photos / "pizza.jpg").text)
    assert {address for address in asked if not address.startswith(url.partition("/")[2])} == set()
    assert wrong == []


def test_every_choice_shows_what_python_says(site, context, captioner, photos):
    path = photos / "rocket.jpg"
    with serving(site) as url:
        page = open_site(context, url)
        page.get_by_role("radio", name="Rocket").check(force=True)
        sentences = page.locator(".sentence")
        expect(sentences).to_have_attribute("aria-label", captioner(path).text)
        page.get_by_role("slider", name="Beam width").press("Home")
        greedy = captioner(path, SearchOptions(beam_size=1))
        expect(sentences).to_have_attribute("aria-label", greedy.text)
        expect(page.locator(".sure")).to_contain_text(
            f"{max(greedy.sureness, 100 - greedy.sureness):.0f}% of the photos"
        )

        page.locator(".sentence button").nth(1).click()
        other = page.locator(".likely button .name").first.inner_text()
        page.locator(".likely button").first.click()
        prefix = [greedy.steps[0].word, other]
        [made] = captioner.describe(captioner.encode([open_image(path)]), SearchOptions(beam_size=1), [prefix])
        expect(sentences).to_have_count(2)
        assert [words(page, index)[:-1] for index in (0, 1)] == [greedy.text.split(), made.text.split()]
        expect(page.get_by_text(f"What if it said “{other}” after “{prefix[0]}”?")).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(sentences).to_have_count(1)

        page.keyboard.press("x")
        page.get_by_role("button", name="Hide middle", exact=True).click()
        expect(sentences).to_have_count(2)
        seen = captioner(path, SearchOptions(beam_size=1), hidden=[(0.333, 0.333, 0.667, 0.667)])
        assert words(page, 1)[:-1] == seen.text.split()
        added = [line[2:] for line in ndiff(words(page, 0), words(page, 1)) if line.startswith("+")]
        assert page.locator(".sentence .changed").all_inner_texts() == added != []
        expect(page.get_by_text("What if it did not see what is gray?")).to_be_visible()
        page.keyboard.press("u")
        expect(sentences).to_have_count(1)

        page.locator("input[type=file]").last.set_input_files(photos / "credits.csv")
        expect(page.locator("#status")).to_have_text(
            "credits.csv is no photo that this browser can read: choose a JPEG, PNG or WebP file."
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_can_be_read_and_operated(site, context, scheme, width):
    with serving(site) as url:
        page = open_site(context, url)
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        page.keyboard.press("ArrowRight")
        page.locator(".likely button").first.click()
        expect(page.locator(".sentence")).to_have_count(2)
        assert violations(page) == []


def test_the_keyboard_alone_is_enough(site, context):
    with serving(site) as url:
        page = open_site(context, url)
        # To the gallery, on to its next photo, and with the player's own keys to the next word and the next photo.
        page.keyboard.press("Tab")
        before = page.locator(".sentence").get_attribute("aria-label")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".sentence")).not_to_have_attribute("aria-label", before)
        second = words(page)
        page.locator(".word").first.focus()
        page.keyboard.press("ArrowRight")
        assert current(page) == second[0]
        page.keyboard.press("p")
        expect(page.locator(".sentence")).to_have_attribute("aria-label", before)


def test_a_photo_can_be_dropped_and_pasted(site, context, captioner, photos):
    with serving(site) as url:
        page = open_site(context, url)
        for kind, name in (("drop", "chelsea.jpg"), ("paste", "clock.jpg")):
            page.evaluate(HAND_OVER, [kind, base64.b64encode((photos / name).read_bytes()).decode()])
            expect(page.locator(".sentence")).to_have_attribute("aria-label", captioner(photos / name).text)


HAND_OVER = """([kind, data]) => {
  const files = new DataTransfer();
  files.items.add(new File([bytes(data)], "mine.jpg", { type: "image/jpeg" }));
  const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: files, bubbles: true });
  document.body.dispatchEvent(event);
}"""


def test_opened_as_a_file_it_says_what_to_do(site, context):
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    expect(page.locator("#status")).to_contain_text("python -m http.server")


def test_a_page_with_the_model_in_it_captions_by_itself(site, context, photos, tmp_path):
    captioner = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu")
    asked = []
    context.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    path = tmp_path / "live.html"
    with pytest.MonkeyPatch.context() as patch:
        command = ["export", photos / "coffee.jpg", "--format", "html", "--live", "--beam-size", 3, "-o", path]
        patch.setattr("sys.argv", ["captioning", *map(str, command)])
        assert main() == 0
    page = open_site(context, path.as_uri())
    caption = captioner(photos / "coffee.jpg", SearchOptions(beam_size=3))
    assert words(page)[:-1] == caption.text.split()
    page.keyboard.press("ArrowRight")
    page.locator(".likely button").first.click()
    expect(page.locator(".sentence")).to_have_count(2)
    page.locator("input[type=file]").last.set_input_files(photos / "pizza.jpg")
    expect(page.locator(".sentence")).to_have_attribute(
        "aria-label", captioner(photos / "pizza.jpg", SearchOptions(beam_size=3)).text
    )
    assert set(asked) <= {"file", "blob", "data"}


@pytest.mark.skipif(FIREFOX is None, reason="there is no Firefox on this machine")
def test_in_firefox_too(site, captioner, photos, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    said = in_firefox(tmp_path / "site", "index.html", "Pizza")
    assert said == [captioner(photos / name).text for name in ("riders-on-a-beach.jpg", "pizza.jpg")]


@pytest.mark.skipif(FIREFOX is None, reason="there is no Firefox on this machine")
def test_a_page_with_the_model_in_it_captions_in_firefox_too(site, photos, tmp_path, run_main):
    (tmp_path / "site").mkdir()
    photo, page = photos / "clock.jpg", tmp_path / "site" / "live.html"
    code, _, error = run_main(main, "export", photo, "--format", "html", "--live", "--beam-size", "3", "-o", page)
    assert code == 0, error
    caption = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cpu")(photo, SearchOptions(beam_size=3))
    assert in_firefox(tmp_path / "site", "live.html") == [caption.text]


def in_firefox(folder: Path, page: str, *photos: str) -> list[str]:
    """What a page of the folder says of its first photo, and of photos of its gallery that are chosen then.

    A page around it chooses them and sends what it says, for there is no driver of Firefox here.
    """
    answers: Queue[list] = Queue()
    watch = folder / "watch.html"
    watch.write_text(WATCH.replace("PAGE", page).replace("PHOTOS", json.dumps(photos)))
    profile = folder.parent / "profile"
    profile.mkdir()
    with serving(folder, answers=answers) as url:
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, f"{url}{watch.name}"]
        firefox = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return answers.get(timeout=PATIENCE / 1000)
        finally:
            firefox.terminate()
            firefox.wait(20)


WATCH = """<!doctype html><iframe src="PAGE" width="1440" height="900"></iframe><script>
const frame = document.querySelector("iframe");
const photos = PHOTOS;
const said = [];
const watch = setInterval(() => {
  const page = frame.contentDocument;
  const text = page.querySelector(".sentence")?.getAttribute("aria-label") || page.querySelector(".error")?.textContent;
  if (!text || text === said.at(-1)) return;
  said.push(text);
  const photo = photos.shift();
  if (photo) [...page.querySelectorAll("#gallery label")].find((label) => label.title === photo).click();
  else clearInterval(watch) || fetch("watch.html", { method: "POST", body: JSON.stringify(said) });
}, 100);
</script>
"""
