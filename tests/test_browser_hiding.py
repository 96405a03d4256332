"""Hiding a part of the photo, and what mattered, as somebody does it in Chromium."""

import json
import re
from difflib import ndiff

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from captioning import Captioner, hide, open_image
from captioning.hiding import Rectangle, read_rectangle
from captioning.inference.probing import probe
from tests.browser import (
    CHROMIUM,
    PATIENCE,
    current,
    in_gallery,
    look_as,
    open_player,
    picture,
    take,
    wait_for_picture,
    words,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

GRAY = [128, 128, 128]
PIXEL = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data]"


@pytest.fixture(scope="module")
def photo(photos):
    return open_image(photos / "astronaut.jpg")


def drag(page: Page, left: float, top: float, right: float, bottom: float, index: int = 0) -> None:
    """Drag a rectangle over a photo, from 0 to 1 of it."""
    box = page.locator(".picture").nth(index).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((left, top), (right, bottom))]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def hidden(page: Page, count: int) -> list[Rectangle]:
    """What the address hides, once that is so many parts."""
    expect(page).to_have_url(re.compile(r"hide=[^&#+]+" + r"\+[^&#+]+" * (count - 1) + r"[&#]"))
    parts = re.search("hide=([^&#]+)", page.url)[1].replace("%2C", ",")
    return [read_rectangle(part) for part in parts.split("+")]


def pixel(page: Page, index: int, x: float, y: float) -> list[int]:
    """A pixel of a photo, from 0 to 1 of it."""
    return page.locator(".picture canvas").nth(index).evaluate(PIXEL, [x, y])[:3]


def says(page: Page, captioner: Captioner, photo, parts: list[Rectangle], index: int = 1) -> None:
    """Expect the caption of the photo with these parts hidden."""
    text = captioner(photo, hidden=parts).text
    expect(page.locator(".sentence").nth(index)).to_have_attribute("aria-label", text)


def test_a_part_that_is_dragged_over_turns_gray_and_the_caption_without_it_stands_beside(page, captioner, photo):
    plain = words(page)
    drag(page, 0.2, 0.1, 0.8, 0.5)
    [part] = hidden(page, 1)
    assert part == pytest.approx((0.2, 0.1, 0.8, 0.5), abs=0.01)
    assert words(page, 0) == plain
    says(page, captioner, photo, [part])
    wait_for_picture(page)
    page.keyboard.press("h")
    assert pixel(page, 1, 0.5, 0.3) == GRAY
    assert pixel(page, 0, 0.5, 0.3) != GRAY
    assert pixel(page, 1, 0.5, 0.7) == pytest.approx(pixel(page, 0, 0.5, 0.7), abs=1)
    added = [line[2:] for line in ndiff(plain, words(page, 1)) if line.startswith("+")]
    assert page.locator(".sentence").nth(1).locator(".changed").all_inner_texts() == added != []
    assert page.locator(".sentence").nth(0).locator(".changed").count() == 0
    # A second part, on the photo that has the first.
    drag(page, 0.1, 0.6, 0.4, 0.9, index=1)
    parts = hidden(page, 2)
    assert parts[0] == part
    says(page, captioner, photo, parts)
    undo = page.get_by_role("button", name="Undo")
    undo.click()
    assert hidden(page, 1) == [part]
    says(page, captioner, photo, [part])
    undo.click()
    expect(page.locator(".sentence")).to_have_count(1)
    expect(page).not_to_have_url(re.compile("hide="))
    assert words(page) == plain


def test_a_small_movement_touches_and_hides_nothing(page):
    drag(page, 0.5, 0.3, 0.505, 0.305)
    expect(page.locator(".picture figcaption")).to_contain_text("%")
    expect(page.locator(".hidden-part")).to_have_count(0)
    page.wait_for_timeout(1000)
    expect(page.locator(".sentence")).to_have_count(1)


def test_a_link_opens_what_is_hidden(page, server, captioner, photo):
    open_player(page, f"{server.url}/?photo=Astronaut&hide=0,0,1,0.5#word=2")
    says(page, captioner, photo, [(0, 0, 1, 0.5)])
    assert hidden(page, 1) == [(0, 0, 1, 0.5)]
    assert current(page, 1) == words(page, 1)[1]
    page.get_by_role("slider", name="Beam width").press("ArrowLeft")
    expect(page).to_have_url(re.compile("beam=4.*hide="))
    in_gallery(page, "Cat").click()
    expect(page).not_to_have_url(re.compile("hide="))
    expect(page.locator(".sentence")).to_have_count(1)


def test_a_part_is_hidden_and_shown_again_with_the_keyboard_alone(page, captioner, photo):
    page.keyboard.press("x")
    places = page.get_by_role("group", name="Hide a part of the photo").get_by_role("button")
    expect(places).to_have_count(9)
    expect(page.get_by_role("button", name="Hide middle")).to_be_focused()
    page.keyboard.press("Escape")
    expect(places).to_have_count(0)
    expect(page.get_by_role("button", name="Hide part")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Hide top", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    [part] = hidden(page, 1)
    assert part == (0.333, 0, 0.667, 0.333)
    says(page, captioner, photo, [part])
    expect(page.locator(".sentence").first.locator("[aria-current]")).to_be_focused()
    page.keyboard.press("u")
    expect(page.locator(".sentence")).to_have_count(1)
    expect(page).not_to_have_url(re.compile("hide="))


def test_a_finger_chooses_a_place(browser, server, captioner, photo):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.set_default_timeout(PATIENCE)
    open_player(page, f"{server.url}/?photo=Astronaut")
    page.get_by_role("button", name="Hide part").tap()
    page.get_by_role("button", name="Hide middle").tap()
    assert hidden(page, 1) == [(0.333, 0.333, 0.667, 0.667)]
    says(page, captioner, photo, hidden(page, 1))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


def test_another_word_and_a_hidden_part_are_undone_in_order(page, captioner, photo):
    plain = words(page)
    drag(page, 0, 0.5, 1, 1)
    parts = hidden(page, 1)
    says(page, captioner, photo, parts)
    without = words(page, 1)
    other = page.locator(".thought").nth(1).locator(".likely button").first
    word = other.locator(".name").inner_text()
    other.click()
    expect(page.locator(".sentence").nth(1)).to_have_attribute("aria-label", re.compile(f"^{word} "))
    question = f"What if it said “{word}” at the beginning and it did not see what is gray?"
    expect(page.get_by_text(question)).to_be_visible()
    assert hidden(page, 1) == parts
    undo = page.get_by_role("button", name="Undo")
    undo.click()
    expect(page).not_to_have_url(re.compile("say="))
    # The address may come before the player.
    expect(page.locator(".sentence").nth(1)).to_have_attribute("aria-label", " ".join(without[:-1]))
    undo.click()
    expect(page.locator(".sentence")).to_have_count(1)
    assert words(page) == plain


def test_files_have_what_is_hidden_and_the_page_among_them_shows_it(page, browser, tmp_path):
    drag(page, 0, 0, 1, 0.5)
    [part] = hidden(page, 1)
    said = json.loads(take(page, "Data (JSON)"))
    assert said["what_if"]["hidden"] == [list(part)]
    assert said["what_if"]["caption"] == " ".join(words(page, 1)[:-1])
    file = tmp_path / "step-through.html"
    file.write_bytes(take(page, "Step-through (HTML)"))
    with browser.new_page() as other:
        other.goto(file.as_uri())
        wait_for_picture(other)
        other.keyboard.press("h")
        assert pixel(other, 1, 0.5, 0.2) == GRAY
        assert pixel(other, 0, 0.5, 0.2) != GRAY
        # There is nobody to ask.
        expect(other.get_by_role("button", name="Hide part")).to_have_count(0)
        expect(other.get_by_role("radio", name="What mattered")).to_have_count(0)
        drag(other, 0.2, 0.6, 0.8, 0.9)
        expect(other.locator(".hidden-part")).to_have_count(0)


def test_what_mattered_is_found_when_it_is_chosen_and_explained(page, captioner, photo, browser, tmp_path):
    note = page.locator('[data-part="note"]')
    expect(note).to_be_hidden()
    attended = picture(page)
    page.keyboard.press("h")
    plain = picture(page)
    page.keyboard.press("h")
    look_as(page, "What mattered")
    caption = captioner(photo)
    found = probe(captioner, photo, caption)
    agreement = f"{found.agreement:.2f}".replace("-", "−")
    expect(note).to_have_text(re.compile(rf"hidden in turn.*less likely\. .*attention: {agreement}\.$"))
    wait_for_picture(page)
    page.wait_for_function("document.getAnimations().every((animation) => animation.playState !== 'running')")
    # The word that depends on a place most.
    step, row, column = map(int, np.unravel_index(found.drops.argmax(), found.drops.shape))
    page.locator(".sentence button").nth(step).click()
    assert picture(page) not in (plain, attended)
    place = ((column + 0.5) / 8, (row + 0.5) / 8)
    bright = sum(pixel(page, 0, *place))
    page.keyboard.press("h")
    assert bright > 0.6 * sum(pixel(page, 0, *place))
    page.keyboard.press("h")
    said = json.loads(take(page, "Data (JSON)"))
    assert said["agreement"] == pytest.approx(found.agreement, abs=1e-3)
    file = tmp_path / "step-through.html"
    file.write_bytes(take(page, "Step-through (HTML)"))
    with browser.new_page() as other:
        other.goto(file.as_uri())
        expect(other.get_by_role("radio", name="What mattered")).to_be_checked()
        expect(other.locator('[data-part="note"]')).to_contain_text(agreement)
    # Another photo is shown at once, and what mattered there is found after.
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(page).to_have_title("Riders · Show, Attend and Tell")
    expect(note).to_contain_text("less likely")
    look_as(page, "Heat map")
    expect(note).to_be_hidden()


def test_a_link_opens_what_mattered_for_both_captions(page, server, captioner, photo):
    open_player(page, f"{server.url}/?photo=Astronaut&look=occlusion&hide=0,0,1,0.5")
    seen = [photo, hide(photo, [(0, 0, 1, 0.5)])]
    found = [probe(captioner, each, captioner(each)).agreement for each in seen]
    numbers = " and ".join(f"{each:.2f}".replace("-", "−") for each in found)
    expect(page.locator('[data-part="note"]')).to_contain_text(f"attention: {numbers}.")


# Streamlit loads a component's script from a Blob of its text.
LATE_EVENTS = """
const { Blob } = window;
const wait = "await new Promise((done) => setTimeout(done, 4000)); ";
const late = (text) => (text.includes('"went"') ? wait + text : text);
window.Blob = class extends Blob {
  constructor(parts = [], options) {
    super([...parts].map((part) => (typeof part === "string" ? late(part) : part)), options);
  }
};
"""


def test_what_is_asked_for_before_events_can_be_sent_is_found_too(page, server):
    page.add_init_script(LATE_EVENTS)
    open_player(page, f"{server.url}/?photo=Astronaut&look=occlusion")
    note = page.locator('[data-part="note"]')
    expect(note).to_contain_text("Hiding each place")
    expect(note).to_contain_text("Rank correlation with the attention")
