"""The app as its users see it: a real server and a real headless Chromium."""

import base64
import copy
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, TimeoutError, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from captioning import DEFAULT_CHECKPOINT, SearchOptions, open_image
from captioning.page.gallery import sample_photos
from captioning.visualize.export import Scene
from captioning.visualize.formats import FORMATS, ON_PAGE
from captioning.visualize.player.data import CaptionPane
from captioning.vocabulary import SPECIAL_TOKENS
from tests.browser import (
    CHROMIUM,
    PATIENCE,
    Server,
    ask_for,
    current,
    in_gallery,
    look_as,
    open_player,
    picture,
    running_app,
    take,
    upload,
    wait_for_picture,
    words,
)
from tests.helpers import forge

RESIDENT_LIMIT = 1.5 * 1024**3
SIZES = [(1366, 768), (1440, 900), (1920, 1080), (390, 844)]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

expect.set_options(timeout=PATIENCE)


def is_covered(control: Locator) -> bool:
    """Whether something else takes the clicks on a control."""
    return control.evaluate(
        """control => {
          const { x, y, width, height } = control.getBoundingClientRect();
          return !control.contains(document.elementFromPoint(x + width / 2, y + height / 2));
        }"""
    )


def press(page: Page, key: str) -> None:
    """Press a key as somebody does who has clicked nothing."""
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press(key)


def test_arrow_keys_words_slider_and_strip_move_the_word_and_every_word_has_its_picture(page):
    # The model looks everywhere for some of this photo's words.
    in_gallery(page, "Cat").click()
    expect(page.locator(".picture canvas").first).to_have_attribute("aria-label", "Cat, before the first word")
    press(page, "ArrowRight")
    said = words(page)
    press(page, "h")
    plain = picture(page)
    press(page, "h")
    seen = []
    for at, word in enumerate(said):
        if at:
            press(page, "ArrowRight")
        assert current(page) == word
        seen.append(picture(page))
        scale, flat = page.locator(".scale").inner_text(), seen[-1] == plain
        assert (scale == "looked everywhere") == flat
        assert flat or re.fullmatch(r"0%\s+\d+% a cell", scale)
        assert page.locator(".picture canvas").first.get_attribute("aria-label").endswith("everywhere") == flat
    assert plain in seen
    assert len({plain, *seen}) == len(said) - seen.count(plain) + 1
    press(page, "ArrowLeft")
    assert picture(page) == seen[-2]
    page.locator(".sentence button").nth(1).click()
    assert picture(page) == seen[1]
    page.locator(".strip button").nth(3).click()
    assert picture(page) == seen[3]
    page.get_by_role("slider", name="Word", exact=True).press("ArrowLeft")
    assert picture(page) == seen[2]
    assert page.locator(".strip [aria-current] span").inner_text() == said[2]


def test_it_begins_with_the_photo_and_words_appear_as_they_are_said(page, server):
    in_gallery(page, "Cat").click()
    canvas, shown = page.locator(".picture > canvas:first-child"), page.locator(".word:not(.unsaid)")
    expect(canvas).to_have_attribute("aria-label", "Cat, before the first word")
    expect(page).to_have_url(re.compile("#word=0$"))
    wait_for_picture(page)
    plain, said = picture(page), words(page)
    question = "element => getComputedStyle(element, '::before').content"
    assert page.locator(".sentence").evaluate(question) == '"What will it say?"'
    expect(page.locator(".thought")).to_be_hidden()
    expect(page.locator(".word").first).to_have_css("opacity", "0")
    # Those who do not look have the whole caption.
    expect(page.get_by_role("button", name=said[2], exact=True).first).to_be_attached()
    page.keyboard.press("ArrowRight")
    assert current(page) == said[0]
    # What stood there fades, if it may.
    expect(page.locator(".picture .before")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    assert shown.all_inner_texts() == said[:2]
    assert page.locator(".sentence").evaluate(question) == "none"
    page.keyboard.press("ArrowLeft")
    assert shown.all_inner_texts() == said[:2]
    page.keyboard.press("ArrowLeft")
    assert (picture(page), shown.count()) == (plain, 0)
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert (current(page), shown.all_inner_texts()) == (said[0], said)
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Play", exact=True).click()
    assert current(page) == said[0]
    page.emulate_media(reduced_motion="reduce")
    open_player(page, f"{server.url}/?photo=Cat#word=2")
    assert shown.all_inner_texts() == said[:2]
    page.keyboard.press("ArrowRight")
    assert page.locator(".picture canvas").count() == 1


def test_the_first_visit_is_told_four_keys_and_all_that_have_an_effect_are_listed(page, browser, server, tmp_path):
    open_player(page, f"{server.url}/?photo=Cat")
    line, listed = page.locator(".first-visit"), page.get_by_role("dialog", name="Keys")
    assert line.locator("kbd").all_inner_texts() == ["→", "Space", "F", "?"]
    page.keyboard.press("?")
    expect(line).to_be_hidden()
    for key in ("hide a part", "undo", "next photo"):
        expect(listed).to_contain_text(key)
    page.get_by_role("radio", name="Compare").click()
    expect(page.locator(".sentence")).to_have_count(2)
    page.keyboard.press("?")
    expect(listed).to_contain_text("next photo")
    expect(listed).not_to_contain_text("undo")
    page.keyboard.press("n")
    expect(page).to_have_title("Buses · Show, Attend and Tell")
    page.keyboard.press("p")
    expect(page).to_have_title("Cat · Show, Attend and Tell")
    page.get_by_role("radio", name="Step through").click()
    expect(page.locator(".sentence")).to_have_count(1)
    page.reload()
    wait_for_picture(page)
    press(page, "Home")
    press(page, "ArrowLeft")
    expect(page.locator(".picture > canvas:first-child")).to_have_attribute("aria-label", "Cat, before the first word")
    expect(line).to_be_hidden()
    file = tmp_path / "step-through.html"
    file.write_bytes(take(page, "Step-through (HTML)"))
    with browser.new_page() as page:
        page.goto(file.as_uri())
        page.locator(".first-visit").click()
        expect(page.locator(".first-visit")).to_be_hidden()
        # There is one photo, and nobody to ask what the model says then.
        page.keyboard.press("?")
        listed = page.get_by_role("dialog", name="Keys")
        expect(listed).to_contain_text("next word")
        for key in ("hide a part", "undo", "next photo", "photo before"):
            expect(listed).not_to_contain_text(key)


def test_after_a_click_the_keys_belong_to_the_player(page):
    in_gallery(page, "Coffee").click()
    expect(page).to_have_title("Coffee · Show, Attend and Tell")
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Coffee"))
    said = words(page)
    for key, at in (
        ("ArrowRight", 0),
        ("PageDown", 1),
        ("PageDown", 2),
        ("PageUp", 1),
        ("End", len(said) - 1),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert current(page) == said[at], key
    page.locator(".more summary").click()
    page.get_by_role("slider", name="Opacity").click()
    page.keyboard.press("ArrowRight")
    page.get_by_role("radio", name="Compare").click()
    page.get_by_role("heading", name="Beam widths").wait_for()
    page.get_by_role("radio", name="Step through").click()
    # The player of the other view has gone.
    expect(page.get_by_role("heading", name="Beam widths")).to_have_count(0)
    expect(page.locator(".picture canvas")).to_have_count(1)
    wait_for_picture(page)
    page.keyboard.press("ArrowRight")
    assert current(page) == said[2]
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile("look=spotlight"))
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_the_presentation_fills_the_screen_and_is_led_by_keys(page, server, browser):
    said = words(page)
    press(page, "f")
    page.wait_for_function("document.fullscreenElement")
    photo, sentence = page.locator(".picture").bounding_box(), page.locator(".sentence")
    assert photo["height"] >= 0.6 * 900
    assert sentence.evaluate("element => parseFloat(getComputedStyle(element).fontSize)") >= 48
    assert is_covered(page.get_by_role("radio", name="Upload"))
    page.keyboard.press("PageDown")
    assert current(page) == said[1]
    attended = picture(page)
    page.keyboard.press("h")
    plain = picture(page)
    page.keyboard.press("ArrowRight")
    assert picture(page) == plain
    page.keyboard.press("h")
    assert picture(page) not in (plain, attended)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("photo alone")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.locator(".player")).to_have_class(re.compile("blank"))
    page.keyboard.press("b")
    expect(page.locator(".player")).not_to_have_class(re.compile("blank"))
    page.keyboard.press("n")
    # The last of the gallery is followed by the first.
    expect(page).to_have_title("Riders · Show, Attend and Tell")
    page.keyboard.press("p")
    expect(page).to_have_title("Astronaut · Show, Attend and Tell")
    expect(page.locator(".controls")).to_have_css("opacity", "0")
    page.mouse.move(700, 400)
    page.mouse.move(720, 420)
    expect(page.locator(".controls")).to_have_css("opacity", "1")
    expect(page).to_have_url(re.compile("#.*present"))
    page.keyboard.press("f")
    page.wait_for_function("!document.fullscreenElement")
    expect(page).not_to_have_url(re.compile("#.*present"))
    assert not is_covered(page.get_by_role("radio", name="Upload"))


def test_an_address_opens_the_presentation_in_the_window_and_escape_leaves_it(page, server):
    open_player(page, f"{server.url}/?photo=Dog#word=2&present")
    assert is_covered(page.get_by_role("radio", name="Upload"))
    assert current(page) == words(page)[1]
    press(page, "Escape")
    expect(page).not_to_have_url(re.compile("present"))
    assert not is_covered(page.get_by_role("radio", name="Upload"))


def test_a_touched_place_shades_the_words_by_how_much_they_looked_there(page, captioner, photos):
    press(page, "End")
    photo = page.locator(".picture").bounding_box()
    page.mouse.move(photo["x"] + 0.55 * photo["width"], photo["y"] + 0.3 * photo["height"])
    steps = captioner(photos / "astronaut.jpg").steps
    rows, columns = steps[0].attention.shape
    shares = [float(step.attention[int(0.3 * rows), int(0.55 * columns)]) for step in steps]
    most = max(range(len(shares)), key=shares.__getitem__)
    word = "end" if steps[most].end else steps[most].word
    expect(page.locator(".picture figcaption")).to_contain_text(f"{word} {shares[most]:.0%}")
    shading = page.locator(".sentence .word").evaluate_all(
        "words => words.map((word) => Number(word.style.getPropertyValue('--share')))"
    )
    assert shading == pytest.approx([share / max(shares) for share in shares], abs=0.01)
    page.mouse.move(2, 2)
    expect(page.locator(".picture figcaption")).to_have_count(0)
    # With the keyboard: from the middle, two rows up and three columns to the left.
    page.locator(".picture canvas").press("Enter")
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    row, column = rows // 2 - 2, columns // 2 - 3
    shares = [float(step.attention[row, column]) for step in steps]
    most = max(range(len(shares)), key=shares.__getitem__)
    word = "end" if steps[most].end else steps[most].word
    text = f"Row {row + 1}, column {column + 1}: {word} {shares[most]:.0%}"
    expect(page.get_by_role("status").filter(has_text=text)).to_have_count(1)
    cell, photo = page.locator(".cell").bounding_box(), page.locator(".picture").bounding_box()
    assert cell["x"] - photo["x"] == pytest.approx(column / columns * photo["width"], abs=2)
    assert current(page) == words(page)[-1]
    page.keyboard.press("Escape")
    expect(page.locator(".cell")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    assert current(page) == words(page)[-2]
    page.keyboard.press("t")
    expect(page.locator(".cell")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(".cell")).to_have_count(0)


def test_how_sure_it_is_leads_to_the_least_likely_word(page, captioner, photos):
    steps = captioner(photos / "astronaut.jpg").steps[:-1]
    page.get_by_role("button", name=re.compile("sure.* than on")).click()
    assert current(page) == min(steps, key=lambda step: step.probability).word


def test_who_moves_with_the_keyboard_keeps_the_focus(page):
    page.get_by_role("slider", name="Beam width").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("beam=6"))
    assert current(page) == words(page)[0]
    page.locator(".sentence button").nth(0).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".sentence button").nth(1)).to_be_focused()
    page.locator("button.row").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("button.row:focus")).to_have_count(1)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo").wait_for()
    expect(page.locator(".sentence").first.locator("[aria-current]")).to_be_focused()
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sentence")).to_have_count(1)
    expect(page.locator(".sentence [aria-current]")).to_be_focused()


def test_forced_colours_leave_the_current_word_the_look_and_the_bars_to_be_seen(page):
    page.emulate_media(forced_colors="active")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for shown in (".word.current", ".looks label:has(:checked)", ".bar span"):
        color = page.locator(shown).first.evaluate("element => getComputedStyle(element).backgroundColor")
        assert color not in (ground, "rgba(0, 0, 0, 0)"), shown


# A browser without sound has no voices.
VOICE = """() => {
  window.spoken = [];
  const voice = { getVoices: () => [{}], addEventListener() {}, cancel() {}, speak: ({ text }) => spoken.push(text) };
  Object.defineProperty(window, "speechSynthesis", { value: voice });
}"""


def test_words_are_said_aloud_and_the_caption_its_alt_text_and_the_link_are_copied(page, server):
    said = words(page)
    page.locator(".more summary").click()
    assert page.get_by_text("Say the words aloud").is_visible() == page.evaluate("!!speechSynthesis.getVoices().length")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    caption = " ".join(said[:-1])
    for button, text in (
        ("Copy caption", caption),
        ("Copy as alt text", f"{caption.capitalize()}."),
        ("Copy link", page.url),
    ):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("status").get_by_text(f"Copied: {text}", exact=True)).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == text
    page.add_init_script(f"({VOICE})()")
    open_player(page, f"{server.url}/?photo=Astronaut#word=1")
    press(page, "ArrowRight")
    page.locator(".more summary").click()
    page.get_by_label("Say the words aloud").check()
    for _ in said[2:]:
        press(page, "ArrowRight")
    # The end is no word.
    assert page.evaluate("spoken") == said[2:-1]


def test_every_look_is_another_picture_and_opacity_and_colours_change_it(page):
    seen = {picture(page)}
    for look in ("Spotlight", "Contour", "Heat map"):
        look_as(page, look)
        seen.add(picture(page))
    page.locator(".more summary").click()
    page.get_by_role("combobox", name="Colours").select_option("viridis")
    seen.add(picture(page))
    page.get_by_role("slider", name="Opacity").press("ArrowRight")
    seen.add(picture(page))
    assert len(seen) == 5


def test_playing_and_stepping_ask_the_server_for_nothing(page):
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append("frame")))
    page.reload()
    wait_for_picture(page)
    said = words(page)
    page.wait_for_timeout(1500)
    sent.clear()
    page.get_by_label("Pace").select_option("Fast")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".sentence button").nth(3)).to_have_attribute("aria-current", "step")
    press(page, "ArrowRight")
    press(page, "ArrowRight")
    assert current(page) == said[5]
    page.wait_for_timeout(1500)
    # Playing has stopped with the first step.
    assert current(page) == said[5]
    assert sent == []


def test_the_address_follows_the_word_and_a_reload_restores_the_view(page):
    for _ in range(3):
        press(page, "ArrowRight")
    expect(page).to_have_url(re.compile("#word=4$"))
    look_as(page, "Spotlight")
    expect(page).to_have_url(re.compile("look=spotlight.*#word=4$"))
    before = picture(page)
    said = words(page)
    page.reload()
    wait_for_picture(page)
    assert words(page) == said
    assert page.locator(".sentence button").nth(3).get_attribute("aria-current") == "step"
    assert picture(page) == before


def test_a_step_that_is_taken_while_the_page_searches_stands_and_so_does_the_width(page):
    slider = page.get_by_role("slider", name="Beam width")
    for width in (6, 7, 8):
        slider.press("ArrowRight")
        press(page, "ArrowRight")
        expect(page).to_have_url(re.compile(f"beam={width}&.*#word={width - 4}$"))
        expect(slider).to_have_value(str(width))
        expect(page.locator(".sentence button").nth(width - 5)).to_have_attribute("aria-current", "step")


def test_word_and_look_are_kept_from_view_to_view_and_another_photo_begins_anew(page):
    press(page, "ArrowRight")
    look_as(page, "Spotlight")
    expect(page).to_have_url(re.compile("look=spotlight.*#word=2$"))
    page.get_by_role("radio", name="Beam search").click()
    expect(page.locator(".tree svg")).to_be_visible()
    page.get_by_role("radio", name="Step through").click()
    expect(page.locator(".sentence button").nth(1)).to_have_attribute("aria-current", "step")
    expect(page.get_by_role("radio", name="Spotlight")).to_be_checked()
    look_as(page, "Contour")
    expect(page).to_have_url(re.compile("look=contour.*#word=2$"))
    in_gallery(page, "Cat").click()
    expect(page).to_have_url(re.compile("photo=Cat.*look=contour#word=0$"))
    expect(page.get_by_role("radio", name="Contour")).to_be_checked()


def test_a_page_is_not_referred_to_a_message_that_it_may_have_dropped(page):
    kinds = set()

    def note(data: bytes) -> None:
        kinds.add(ForwardMsg.FromString(data).WhichOneof("type"))

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.reload()
    wait_for_picture(page)
    slider = page.get_by_role("slider", name="Beam width")
    for key, width in [("ArrowRight", 6), ("ArrowLeft", 5)] * 2:
        slider.press(key)
        page.wait_for_url(re.compile(f"beam={width}&"), wait_until="commit")
    assert "delta" in kinds
    assert "ref_hash" not in kinds


def test_a_link_opens_the_same_view_and_going_back_returns(page, server, captioner, photos):
    open_player(page, f"{server.url}/?photo=Rocket&beam=2&look=contour#word=2")
    rocket = captioner(photos / "rocket.jpg", SearchOptions(beam_size=2)).text
    assert words(page) == [*rocket.split(), "end"]
    assert current(page) == rocket.split()[1]
    expect(page.get_by_role("radio", name="Contour")).to_be_checked()
    in_gallery(page, "Motorbike").click()
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Motorbike"))
    expect(page).to_have_url(re.compile("photo=Motorbike"))
    page.go_back()
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Rocket"))


def test_going_back_returns_to_the_look_before_and_it_can_be_chosen_again(page):
    for _ in range(2):
        look_as(page, "Spotlight")
        expect(page).to_have_url(re.compile("look=spotlight"))
        page.go_back()
        expect(page).to_have_url(re.compile("look=heat"))
        expect(page.get_by_role("radio", name="Heat map")).to_be_checked()


def test_going_back_keeps_a_photo_of_ones_own(page, photos):
    upload(page, photos / "coffee.jpg")
    canvas = page.locator(".picture canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("^coffee.jpg"))
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    expect(page).to_have_url(re.compile("beam=6"))
    page.go_back()
    expect(page.locator(".st-key-beam output")).to_have_text("5")
    expect(canvas).to_have_attribute("aria-label", re.compile("^coffee.jpg"))


def test_going_back_and_forward_follows_photo_and_view(page):
    canvas = page.locator(".picture canvas")

    def go(move: Callable[[], object]) -> None:
        # A run that is not over yet would write its own address over the one that somebody goes to.
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        move()

    in_gallery(page, "Cat").click()
    expect(page).to_have_url(re.compile("photo=Cat"))
    page.get_by_role("radio", name="Beam search").click()
    expect(page).to_have_url(re.compile("photo=Cat.*view=search"))
    go(page.go_back)
    expect(canvas).to_have_attribute("aria-label", re.compile("^Cat"))
    go(page.go_back)
    expect(canvas).to_have_attribute("aria-label", re.compile("^Astronaut"))
    expect(in_gallery(page, "Astronaut")).to_be_checked()
    go(page.go_forward)
    expect(canvas).to_have_attribute("aria-label", re.compile("^Cat"))
    go(page.go_forward)
    expect(page.locator(".tree svg")).to_be_visible()
    expect(page).to_have_url(re.compile("photo=Cat.*view=search"))


def test_keys_that_change_the_photo_count_though_another_control_is_touched_at_once(page, server):
    titles = list(sample_photos())
    after_next = titles[(titles.index("Astronaut") + 2) % len(titles)]
    with held_up(server):
        press(page, "n")
        press(page, "n")
        page.get_by_role("slider", name="Beam width").press("ArrowRight")
    expect(page).to_have_url(re.compile(f"photo={after_next}&beam=6"))
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(f"^{after_next},"))
    expect(in_gallery(page, after_next)).to_be_checked()


def test_the_beam_width_is_dragged_and_no_move_is_lost_while_the_page_is_busy(page, server):
    slider, shown = page.get_by_role("slider", name="Beam width"), page.locator(".st-key-beam output")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.6, 0.8, 1.2):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    expect(shown).to_have_text("10")
    expect(page).to_have_url(re.compile("beam=10&"))
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    # The keys belong to the player after the mouse was used. Each press counts from the one before, though the server
    # has not heard of that.
    slider.blur()
    with held_up(server):
        for width in range(9, 2, -1):
            slider.press("ArrowLeft")
            expect(shown).to_have_text(str(width))
    for width in (4, 5):
        slider.press("ArrowRight")
        expect(shown).to_have_text(str(width))
        page.wait_for_timeout(40)
    expect(page).to_have_url(re.compile("beam=5&"))
    expect(shown).to_have_text("5")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(shown).to_have_text("5")
    # What the server said before a move must not come between that and the next.
    for wait in range(0, 400, 40):
        for key, width in (("ArrowRight", 6), ("ArrowLeft", 5)):
            slider.press(key)
            expect(shown).to_have_text(str(width))
            page.wait_for_timeout(wait)
    expect(page).to_have_url(re.compile("beam=5&"))
    page.get_by_role("radio", name="Compare").click()
    page.get_by_role("button", name=re.compile("^Widths? 1")).first.click()
    expect(page).to_have_url(re.compile("beam=1&.*view=step"))
    expect(slider).to_have_value("1")


def test_an_address_that_is_lost_is_sent_again(own_browser, server):
    page = own_browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script("""
      const push = history.pushState;
      window.lost = 0;
      history.pushState = function (state, title, address) {
        if (address.includes("beam=6") && !window.lost++) return;
        return push.call(this, state, title, address);
      };
    """)
    open_player(page, f"{server.url}/?photo=Cat")
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    page.wait_for_url(re.compile("beam=6"))
    assert page.evaluate("window.lost") == 2
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    page.wait_for_url(re.compile("beam=7"))
    page.go_back()
    expect(page.get_by_role("slider", name="Beam width")).to_have_value("6")
    page.close()


def test_a_request_that_is_lost_is_sent_again(own_browser, server):
    lost = []

    def lose_the_first(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if not lost and b'"width"' in message:
                lost.append(message)
            else:
                upstream.send(message)

        socket.on_message(pass_on)

    page = own_browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.route_web_socket(re.compile("_stcore/stream"), lose_the_first)
    open_player(page, f"{server.url}/?photo=Astronaut")
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    expect(page).to_have_url(re.compile("beam=6&"))
    assert len(lost) == 1
    page.close()


def test_the_gallery_is_gone_through_with_the_keyboard_and_keeps_the_focus(page):
    before, then, after, *_ = list(sample_photos())[list(sample_photos()).index("Coffee") - 1 :]
    in_gallery(page, "Coffee").focus()
    page.keyboard.press("Space")
    for key, title in (("ArrowRight", after), ("ArrowLeft", then), ("ArrowUp", before)):
        page.keyboard.press(key)
        expect(page.locator(".picture canvas")).to_have_attribute("aria-label", f"{title}, before the first word")
        expect(in_gallery(page, title)).to_be_checked()
        expect(in_gallery(page, title)).to_be_focused()
        expect(
            page.get_by_role("radiogroup", name="Photo of the gallery").get_by_role("radio", checked=True)
        ).to_have_count(1)


def test_a_word_of_the_address_is_followed_and_one_that_is_not_there_is_the_nearest(page, server):
    page.evaluate("window.location.hash = 'word=3'")
    expect(page.locator(".sentence button").nth(2)).to_have_attribute("aria-current", "step")
    last = len(words(page))
    for asked, word in [("0", 0), ("-3", 0), ("x", 0), ("%00", 0), ("1", 1), (str(10**9), last)]:
        page.goto("about:blank")
        open_player(page, f"{server.url}/?photo=Astronaut#word={asked}")
        expect(page.locator(".sentence .current")).to_have_count(min(word, 1))
        expect(page).to_have_url(re.compile(f"#word={word}$"))


def test_an_address_that_asks_for_a_file_gets_the_default_and_a_notice(page, server):
    page.goto(f"{server.url}/?photo=../../etc/passwd")
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("../../etc/passwd")
    wait_for_picture(page)
    expect(page).not_to_have_url(re.compile("passwd"))
    assert "Traceback" not in page.content()


def test_what_if_shows_both_captions_and_undo_goes_back(page):
    plain = words(page)
    page.locator(".sentence button").nth(1).click()
    other = page.locator(".likely button").first
    word = other.locator(".name").inner_text()
    other.click()
    expect(page.locator(".sentence")).to_have_count(2)
    assert words(page, 0) == plain
    assert words(page, 1)[:2] == [plain[0], word]
    assert current(page, 1) == word
    expect(page.locator(".score")).to_have_text([re.compile(r"log-probability −\d")] * 2)
    wait_for_picture(page)
    # The decoder has read the other word once it chooses the second after it.
    press(page, "ArrowRight")
    press(page, "ArrowRight")
    # One photo for both: with the attention of the caption whose word was clicked last.
    photo = page.locator(".picture canvas[role=img]:visible")
    follows = hash(photo.evaluate("canvas => canvas.toDataURL()"))
    page.locator(".sentence").first.locator("[aria-current]").click()
    page.wait_for_timeout(100)
    assert hash(photo.evaluate("canvas => canvas.toDataURL()")) != follows
    expect(page).to_have_url(re.compile(r"say=\w+"))
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".sentence")).to_have_count(1)
    assert words(page) == plain
    expect(page).not_to_have_url(re.compile("say="))


def test_any_word_can_be_typed_and_one_click_leads_back_to_its_own_caption(page):
    plain = words(page)
    field = page.get_by_role("combobox", name="Another word").locator("visible=true")
    field.fill("zyzzyva")
    field.press("Enter")
    assert field.evaluate("field => field.validationMessage") == "This model has no word “zyzzyva”: type another."
    field.fill("elep")
    assert "elephant" in page.locator(".other option").evaluate_all("options => options.map((option) => option.value)")
    field.fill("Two")
    field.press("Enter")
    expect(page.locator(".sentence")).to_have_count(2)
    assert words(page, 1)[0] == "two"
    page.locator(".sentence").last.locator("button").nth(1).click()
    field.fill("Two")
    field.press("Enter")
    assert "twice in a row" in field.evaluate("field => field.validationMessage")
    field.fill("cats")
    field.press("Enter")
    expect(page.get_by_text("What if it said “cats” after “two”?")).to_be_visible()
    page.get_by_role("button", name="Back to its own caption").click()
    expect(page.locator(".sentence")).to_have_count(1)
    assert words(page) == plain


def test_a_word_that_is_clicked_twice_is_undone_at_once(page):
    plain = words(page)
    with busy_cores():
        page.locator(".likely button").first.dblclick()
        expect(page.locator(".sentence")).to_have_count(2)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".sentence")).to_have_count(1)
    assert words(page) == plain


def test_a_second_click_on_undo_that_comes_late_finds_nothing_to_take_back(page, server):
    page.locator(".likely button").first.click()
    expect(page.locator(".sentence")).to_have_count(2)
    undo = page.get_by_role("button", name="Undo")
    with busy_cores():
        undo.click()
        for _ in range(3):
            # It may be gone by then.
            with suppress(TimeoutError):
                undo.click(timeout=300)
        expect(page.locator(".sentence")).to_have_count(1)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(undo).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert "Traceback" not in server.log.read_text()


def test_a_word_that_is_clicked_on_a_player_that_the_page_no_longer_has_is_nothing(page, server):
    expect(page.get_by_role("radio", name="Beam search")).to_be_visible()
    # The page is asked for another view, and the browser, which has not drawn it yet, is clicked.
    page.locator(".likely button").first.evaluate(
        """async (word) => {
          const radios = [...document.querySelectorAll("[role=radio]")];
          radios.find((radio) => radio.innerText === "Beam search").click();
          await new Promise((sent) => setTimeout(sent, 20));
          for (const start = performance.now(); performance.now() - start < 3000; );
          word.click();
        }"""
    )
    expect(page.locator(".tree svg")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".tree svg")).to_be_visible()
    assert "Traceback" not in server.log.read_text()


def test_the_tree_of_the_search_shows_the_caption_as_its_winner(page):
    plain = words(page)
    page.get_by_role("radio", name="Beam search").click()
    expect(page.locator(".tree svg")).to_be_visible()
    assert page.locator(".tree .won .word").all_text_contents() == plain
    for fate in ("finished", "abandoned", "dropped"):
        assert page.locator(f".tree .node.{fate}").count() > 0
    expect(page.get_by_role("table")).to_contain_text("Length-normalised score")
    # At width 5 a row of boxes reads without a magnifying glass; what does not fit scrolls.
    box = page.locator(".tree .node rect").first.bounding_box()
    assert box["height"] >= 30
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_tree_grows_lights_a_way_and_is_asked(page):
    page.get_by_role("radio", name="Beam search").click()
    nodes, path = page.locator(".tree .node:visible"), page.locator(".path")
    expect(nodes.first).to_be_visible()
    # As long as the player of the other view is there, keys are its own.
    expect(page.locator(".player")).to_have_count(0)
    steps = page.get_by_role("slider", name="Steps")
    steps.fill("2")
    expect(page.locator(".tree .step:visible")).to_have_count(2)
    box = nodes.last
    box.hover()
    lit = page.locator(".tree .node.lit .word")
    expect(lit).to_have_count(2)
    way = lit.all_text_contents()
    expect(path).to_contain_text(f"“{' '.join(way)}”")
    page.mouse.move(0, 0)
    expect(lit).to_have_count(0)
    # With the keyboard: the last step's first box, then the one before it on the way.
    page.locator(".tree").press("ArrowLeft")
    expect(lit).to_have_count(2)
    page.locator(".tree").press("ArrowLeft")
    expect(lit).to_have_count(1)
    said = lit.all_text_contents()
    page.locator(".tree").press("Enter")
    expect(page.get_by_text("What it says then")).to_be_visible()
    assert page.locator(".sentence").last.locator(".word").all_text_contents()[:1] == said


def test_a_caption_of_the_comparison_is_opened_with_a_click(page):
    page.get_by_role("radio", name="Compare").click()
    page.get_by_role("button", name=re.compile("^Widths? 1")).first.click()
    expect(page.locator(".sentence .word").first).to_be_visible()
    expect(page.get_by_role("slider", name="Beam width")).to_have_value("1")


def test_compare_and_model_show_their_tables_and_curves(page):
    page.get_by_role("radio", name="Compare").click()
    expect(page.get_by_role("heading", name="Beam widths 1 to 10")).to_be_visible()
    page.get_by_role("radio", name="Model").click()
    expect(page.get_by_role("heading", name="What it is bad at")).to_be_visible()
    expect(page.get_by_text("Vocabulary")).to_be_visible()
    chart = page.locator(".stVegaLiteChart, .vega-embed").first
    expect(chart).to_be_visible()


def test_truth_shows_what_people_wrote(page, server, flickr8k):
    page.goto(f"{server.url}/?split=test&view=truth")
    expect(page.get_by_role("heading", name="People wrote")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_count(5)
    expect(page.get_by_text("BLEU of one sentence says little")).to_be_hidden()
    page.get_by_text("BLEU-4 of this one caption").click()
    expect(page.get_by_text("BLEU of one sentence says little")).to_be_visible()
    expect(page.locator("img")).to_have_count(2)
    # A picture that had to be asked for could be gone by then.
    pictures = page.locator("img").evaluate_all("images => images.map((image) => image.src.slice(0, 11))")
    assert pictures == ["data:image/"] * 2


def test_the_downloads_hold_the_caption(page, tmp_path, browser):
    said = words(page)
    gif = Image.open(io.BytesIO(take(page, "Animation (GIF)")))
    assert gif.n_frames == len(said)
    png = Image.open(io.BytesIO(take(page, "Film strip (PNG)")))
    assert png.width >= 1920
    data = json.loads(take(page, "Data (JSON)"))
    assert data["caption"] == " ".join(said[:-1])
    file = tmp_path / "step-through.html"
    file.write_bytes(take(page, "Step-through (HTML)"))
    check_that_it_steps_offline(browser, file, said)


def test_a_file_has_the_look_that_was_chosen_just_before(page):
    before = take(page, "Film strip (PNG)")
    page.keyboard.press("Escape")
    look_as(page, "Spotlight")
    at_once = take(page, "Film strip (PNG)")
    page.wait_for_timeout(2000)
    assert at_once == take(page, "Film strip (PNG)") != before


@pytest.mark.parametrize("name", ["Animation (GIF)", "Data (JSON)"])
@pytest.mark.parametrize("control", ["width", "photo", "view", "list"])
def test_a_file_that_was_asked_for_comes_though_the_next_control_is_touched_at_once(page, control, name):
    with page.expect_download() as download:
        ask_for(page, name)
        match control:
            case "width":
                page.get_by_role("slider", name="Beam width").press("ArrowRight")
            case "photo":
                in_gallery(page, "Cat").click()
            case "view":
                page.get_by_role("radio", name="Beam search").click()
            case "list":
                page.keyboard.press("Escape")
    assert download.value.suggested_filename.startswith("Astronaut")


def test_every_file_comes_of_several_that_are_asked_for_one_after_the_other(page):
    suffixes = list(ON_PAGE)
    came = []
    page.on("download", lambda download: came.append(download.suggested_filename.rpartition(".")[2]))
    # So that the server is slow, and a click finds it between two runs of the page.
    with busy_cores(), page.expect_event("download", lambda _: len(came) == len(suffixes)):
        for suffix in suffixes:
            ask_for(page, FORMATS[suffix].name)
    assert sorted(came) == sorted(suffixes)


@contextmanager
def busy_cores() -> Iterator[None]:
    """Every core has something else to do meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def check_that_it_steps_offline(browser: Browser, file, said: list[str]) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests, mistakes = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", lambda message: mistakes.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    wait_for_picture(page)
    assert words(page) == said
    seen = [picture(page)]
    for word in said:
        page.keyboard.press("ArrowRight")
        assert current(page) == word
        seen.append(picture(page))
    # Words for which it looked everywhere show the photo alone.
    assert len(set(seen)) > len(said) / 2
    assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
    assert mistakes == []
    context.close()


def test_a_person_uploads_a_photo_and_moves_the_beam_width(page, captioner, photos):
    path = photos / "coffee.jpg"
    upload(page, path)
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(r"^coffee\.jpg"))
    assert words(page)[:-1] == captioner(path).text.split()
    page.locator(".more summary").click()
    expect(page.get_by_role("button", name="Copy caption")).to_be_visible()
    # No address brings it back.
    expect(page.get_by_role("button", name="Copy link")).to_be_hidden()
    thumb = page.get_by_role("slider", name="Beam width")
    thumb.focus()
    for _ in range(4):
        thumb.press("ArrowLeft")
    at_1 = captioner(path, SearchOptions(beam_size=1)).text
    expect(page.locator(".sentence")).to_have_attribute("aria-label", at_1)
    expect(page).not_to_have_url(re.compile("photo="))


def bring(page: Page, kind: str, path: Path) -> None:
    """Drop a file on the photo, or paste it."""
    page.locator(".picture canvas").evaluate(
        """(canvas, [kind, name, content]) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const files = new DataTransfer();
          files.items.add(new File([bytes], name, { type: "image/jpeg" }));
          const how = { bubbles: true, composed: true, cancelable: true };
          canvas.dispatchEvent(
            kind === "drop"
              ? new DragEvent(kind, { ...how, dataTransfer: files })
              : new ClipboardEvent(kind, { ...how, clipboardData: files }),
          );
        }""",
        [kind, path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def test_a_photo_that_is_dropped_or_pasted_is_captioned_and_kept(page, captioner, photos):
    canvas, dropped, pasted = page.locator(".picture canvas"), photos / "coffee.jpg", photos / "bears.jpg"
    bring(page, "drop", dropped)
    expect(canvas).to_have_attribute("aria-label", re.compile("^coffee.jpg"))
    assert words(page)[:-1] == captioner(dropped).text.split()
    page.get_by_role("radio", name="Gallery").click()
    expect(canvas).to_have_attribute("aria-label", re.compile("^Astronaut"))
    page.get_by_role("radio", name="Upload").click()
    expect(canvas).to_have_attribute("aria-label", re.compile("^coffee.jpg"))
    bring(page, "paste", pasted)
    expect(canvas).to_have_attribute("aria-label", re.compile("^bears.jpg"))
    assert words(page)[:-1] == captioner(pasted).text.split()


@pytest.mark.parametrize("name", ["bad.jpg", "notes.txt"])
def test_the_page_says_what_is_wrong_with_a_bad_upload_and_another_photo_still_works(page, tmp_path, name):
    bad = tmp_path / name
    bad.write_text("no photo at all")
    upload(page, bad)
    expect(page.get_by_role("alert")).to_contain_text(f"{name} is not a photo")
    assert "Traceback" not in page.content()
    # The server forgets the file, and the page still says what was wrong with it.
    expect(page.get_by_test_id("stFileChip")).to_have_count(0)
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    page.wait_for_url(re.compile("beam=6"))
    expect(page.get_by_role("alert")).to_contain_text(f"{name} is not a photo")
    page.get_by_role("radio", name="Gallery").click()
    in_gallery(page, "Cat").click()
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Cat, "))


def test_a_name_that_is_markup_is_shown_as_text(page, photos, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes((photos / "coffee.jpg").read_bytes())
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    upload(page, path)
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^<img src=x"))
    html = take(page, "Step-through (HTML)").decode()
    assert "<img" not in html
    assert dialogs == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_size(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for part in (".picture canvas", ".sentence", ".controls", ".transport", ".view", ".thought"):
            box = page.locator(part).bounding_box()
            assert box["x"] >= 0, (part, width)
            assert box["x"] + box["width"] <= width + 1, (part, width)
        play = page.get_by_role("button", name="Play", exact=True).bounding_box()
        assert play["y"] + play["height"] <= height
        if width > 1000:
            # Photo, caption, controls and strip fit on the screen together, so that nobody scrolls while presenting.
            assert page.locator(".picture canvas").bounding_box()["height"] > 280
            strip = page.locator(".strip").bounding_box()
            assert strip["y"] + strip["height"] <= height


def test_photos_of_a_data_set_are_described_as_they_come_and_one_is_stepped_through(page, server, flickr8k):
    page.goto(f"{server.url}/?split=dev&view=photos")
    shown, canvas = page.locator(".pictures button"), page.locator(".picture canvas")
    expect(shown).to_have_count(24)
    names = [shown.nth(at).get_attribute("title") for at in range(24)]
    # While others are being described.
    shown.nth(20).click()
    expect(canvas).to_have_attribute("aria-label", re.compile(f"^{re.escape(names[20])}, before"))
    page.get_by_role("button", name="Next", exact=True).click()
    expect(canvas).to_have_attribute("aria-label", re.compile(f"^{re.escape(names[21])}, before"))
    caption = page.locator(".sentence").get_attribute("aria-label")
    page.get_by_role("radio", name="Photos").click()
    expect(page.locator(".pictures img")).to_have_count(24)
    expect(shown.nth(21)).to_have_text(caption)
    page.get_by_role("button", name="Page 2").click()
    expect(shown.first).not_to_have_attribute("title", names[0])


def test_on_a_phone_the_bar_closes_when_a_photo_is_chosen_and_two_photos_stand_side_by_side(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    bar, canvases = page.get_by_test_id("stSidebar"), page.locator(".picture canvas")
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(bar).to_have_attribute("data-collapsed", "false")
    page.get_by_role("slider", name="Beam width").press("ArrowRight")
    expect(page).to_have_url(re.compile("beam=6"))
    expect(bar).to_have_attribute("data-collapsed", "false")
    in_gallery(page, "Cat").click()
    expect(bar).to_have_attribute("data-collapsed", "true")
    expect(canvases).to_have_attribute("aria-label", re.compile("^Cat"))
    press(page, "x")
    page.get_by_role("button", name="Hide middle", exact=True).click()
    expect(canvases).to_have_count(2)
    left, right = (canvases.nth(at).bounding_box() for at in range(2))
    assert left["y"] == right["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_nothing_takes_the_clicks_of_the_controls_above_a_photo_of_the_data_set(page, server, flickr8k):
    open_player(page, f"{server.url}/?split=dev")
    page.locator('[data-testid="stSidebar"] [data-testid="stImage"]').hover()
    # What appears over a picture does so slowly.
    page.wait_for_timeout(600)
    page.get_by_role("button", name="A random photo").click(trial=True, timeout=5_000)


def test_of_photos_chosen_while_the_page_searches_the_last_is_shown(page, server):
    slider = page.get_by_role("slider", name="Beam width")
    slider.press("Home")
    for titles in permutations(["Astronaut", "Cat", "Coffee", "Rocket"], 2):
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        slider.press("ArrowRight")
        page.wait_for_timeout(15)
        with held_up(server):
            for title in titles:
                in_gallery(page, title).click()
        expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(f"^{titles[-1]},"))
        expect(page).to_have_url(re.compile(f"photo={titles[-1]}&"))
        expect(in_gallery(page, titles[-1])).to_be_checked()


@contextmanager
def held_up(server: Server) -> Iterator[None]:
    """The server does nothing meanwhile; what it is asked comes to it all at once in the end."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_two_people_see_each_their_own_photo(page, browser, server):
    other = browser.new_page(viewport={"width": 1440, "height": 900})
    other.set_default_timeout(PATIENCE)
    open_player(other, f"{server.url}/?photo=Cat#word=2")
    press(page, "ArrowRight")
    in_gallery(other, "Rocket").click()
    expect(other.locator(".picture canvas")).to_have_attribute("aria-label", re.compile("^Rocket"))
    assert page.locator(".picture canvas").get_attribute("aria-label").startswith("Astronaut")
    other.close()


def test_memory_stays_in_bounds(page, server, photos, tmp_path):
    with Image.open(photos / "astronaut.jpg") as photo:
        for turn in range(8):
            path = tmp_path / f"{turn}.jpg"
            photo.convert("RGB").resize((1600, 1200)).rotate(turn).save(path)
            upload(page, path)
            expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(rf"^{turn}\.jpg"))
    assert server.resident() < RESIDENT_LIMIT


def test_in_a_notebook_a_caption_shows_itself(browser, captioner, photos, tmp_path):
    path = tmp_path / "a&b.jpg"
    path.write_bytes((photos / "chelsea.jpg").read_bytes())
    with path.open("rb") as file:
        for photo, title in ((path, "a&b.jpg"), (file, "Photo")):
            caption = captioner(photo, hidden=[(0, 0, 1, 0.5)])
            with browser.new_page(viewport={"width": 1000, "height": 800}) as page:
                page.set_content(f"<p>Out[1]:</p>{caption._repr_html_()}")
                frame = page.frame_locator("iframe")
                canvas = frame.locator(".picture canvas")
                expect(canvas).to_have_attribute("aria-label", f"{title}, parts of it hidden, before the first word")
                frame.get_by_role("button", name="Next word", exact=True).click()
                assert frame.locator(".current").first.inner_text() == caption.steps[0].word
                assert " ".join(frame.locator(".word").all_inner_texts()[:-1]) == caption.text
                # All of it is in the frame.
                assert frame.locator("html").evaluate("page => page.scrollHeight <= window.innerHeight")
    assert copy.deepcopy(caption)._repr_html_() == pickle.loads(pickle.dumps(caption))._repr_html_()
    caption = captioner(path)
    path.unlink()
    assert caption._repr_html_() is None
    assert captioner.describe(captioner.encode([open_image(photos / "clock.jpg")]))[0]._repr_html_() is None


def test_a_caption_that_is_written_from_right_to_left_reads_so(browser, captioner, photos, tmp_path):
    caption = captioner(photos / "chelsea.jpg")
    said = "كلب بني يجري على العشب".split()
    steps = [replace(step, word=word) for step, word in zip(caption.steps, said, strict=False)]
    photo, file = open_image(photos / "chelsea.jpg"), tmp_path / "caption.html"
    with browser.new_page(viewport={"width": 1440, "height": 900}) as page:
        for pane, first_is_left in ((caption, True), (replace(caption, steps=tuple(steps)), False)):
            file.write_bytes(FORMATS["html"].make(Scene("photo.jpg", photo, (CaptionPane(pane),))))
            page.goto(file.as_uri())
            first, second = (page.locator(".sentence .word").nth(at).bounding_box() for at in range(2))
            assert first["y"] == second["y"]
            assert (first["x"] < second["x"]) == first_is_left


def test_a_model_of_a_script_from_right_to_left_is_shown_so_in_the_app(browser, captioner, tmp_path):
    """The default checkpoint with each letter of its words as an Arabic one."""
    arabic = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه")
    known = captioner.info.vocabulary.words
    said = [*SPECIAL_TOKENS, *(word.translate(arabic) for word in known[len(SPECIAL_TOKENS) :])]
    path = tmp_path / "checkpoints" / DEFAULT_CHECKPOINT.name
    path.parent.mkdir()
    forge(DEFAULT_CHECKPOINT, path, metadata={"vocabulary": json.dumps(said)})
    with (
        running_app(tmp_path / "log.txt", environment={"CAPTIONING_CHECKPOINTS": str(path.parent)}) as server,
        browser.new_page(viewport={"width": 1440, "height": 900}) as page,
    ):
        open_player(page, f"{server.url}/?photo=Cat")
        assert words(page)[0] == captioner(sample_photos()["Cat"]).steps[0].word.translate(arabic)
        first, second = (page.locator(".sentence .word").nth(at).bounding_box() for at in range(2))
        assert first["y"] == second["y"]
        assert first["x"] > second["x"]
