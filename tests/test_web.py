"""What the app lets others do: words stay text, requests from elsewhere are refused, uploads are bounded."""

import http.client
import json
import re
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from captioning import DEFAULT_CHECKPOINT
from captioning.checkpoint import read_info
from captioning.images import MAX_BYTES
from captioning.record import format_record
from tests.browser import (
    CHROMIUM,
    FORM,
    FORM_HEAD,
    FORM_TAIL,
    PATIENCE,
    ROOT,
    UPGRADE,
    Server,
    answer,
    open_player,
    running_app,
    take,
    upload,
    upload_headers,
    upload_of_size,
    wait_for_picture,
    words,
)
from tests.helpers import forge

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

expect.set_options(timeout=PATIENCE)

# In place of the words that the model says most often.
HOSTILE_WORDS = {
    "a": "<img/src=x/onerror=alert(1)>",
    "in": "</script><script>alert(2)</script>",
    "the": "![x](http://localhost:1/x.png)",
    "on": "[x](javascript:alert(3))",
    "is": "**bold**",
    "and": "$x^2$",
    "man": ":red[x]",
    "dog": "www.example.org",
    "with": "<!--",
    "of": "`code`",
    "woman": "שלום",
    "person": "&lt;b&gt;",
    "wearing": '"onload="alert(4)',
    "shirt": "{{constructor.constructor('alert(5)')()}}",
}


@pytest.fixture(scope="module")
def forged(tmp_path_factory) -> Iterator[Server]:
    """The app with a checkpoint whose words, names and record are markup."""
    root = tmp_path_factory.mktemp("forged")
    shutil.copy(ROOT / "app.py", root)
    for folder in ("captioning", ".streamlit"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "checkpoints").mkdir()
    info = read_info(DEFAULT_CHECKPOINT)
    name = "<img src=x onerror=alert(6)> Flickr"
    for dataset in info.training.datasets:
        dataset.name = name
    for stage in info.training.stages:
        stage.command = name
    metadata = {
        "vocabulary": json.dumps([HOSTILE_WORDS.get(word, word) for word in info.vocabulary.words]),
        "repeatable": json.dumps([HOSTILE_WORDS.get(word, word) for word in info.vocabulary.repeatable or ()]),
        "training": format_record(info.training),
    }
    path = root / "checkpoints" / "**<img src=x onerror=alert(7)>**.safetensors"
    forge(DEFAULT_CHECKPOINT, path, metadata=metadata)
    log = root / "log.txt"
    with running_app(log, root=root) as server:
        yield server
    assert "Traceback" not in log.read_text()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which no script may open a dialog, and that may ask nobody but the app."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    dialogs, asked = [], []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    own = urlsplit(page.url).netloc
    page.close()
    assert dialogs == []
    assert {urlsplit(url).netloc for url in asked if urlsplit(url).scheme in ("http", "https", "ws")} <= {own}


@pytest.fixture(scope="module")
def hostile_captions(captioner, photos) -> dict[str, list[str]]:
    """What the forged model says, word by word."""
    files = {"Astronaut": "astronaut.jpg", "Motorbike": "motorcyclist-in-fog.jpg", "Rocket": "rocket.jpg"}
    said = {title: captioner(photos / file).text.split() for title, file in files.items()}
    return {title: [HOSTILE_WORDS.get(word, word) for word in said] for title, said in said.items()}


def test_words_of_a_checkpoint_stay_text_on_every_view(page, forged, hostile_captions):
    assert len(set(HOSTILE_WORDS.values()) & {word for said in hostile_captions.values() for word in said}) >= 4
    for title, said in hostile_captions.items():
        open_player(page, f"{forged.url}/?photo={title}")
        assert words(page) == [*said, "end"]
        page.get_by_role("radio", name="Beam search").click()
        expect(page.locator(".tree .won .word")).to_have_text([*said, "end"])
        expect(page.get_by_role("table")).to_contain_text(" ".join(said))
        page.get_by_role("radio", name="Compare").click()
        expect(page.get_by_role("heading", name="Beam widths")).to_be_visible()
        expect(page.get_by_text(" ".join(said), exact=True).first).to_be_visible()
    page.get_by_role("radio", name="Model").click()
    expect(page.get_by_text("<img src=x onerror=alert(6)>").first).to_be_visible()
    assert page.locator("img[onerror]").count() == 0


def test_words_of_a_checkpoint_stay_text_in_what_is_taken_away(page, browser, forged, hostile_captions, tmp_path):
    open_player(page, f"{forged.url}/?photo=Astronaut")
    assert json.loads(take(page, "Data (JSON)"))["caption"] == " ".join(hostile_captions["Astronaut"])
    file = tmp_path / "page.html"
    file.write_bytes(take(page, "Step-through (HTML)"))
    offline = browser.new_page()
    dialogs, mistakes = [], []
    offline.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    offline.on("pageerror", lambda error: mistakes.append(str(error)))
    offline.goto(file.as_uri())
    wait_for_picture(offline)
    assert words(offline) == [*hostile_captions["Astronaut"], "end"]
    assert dialogs == mistakes == []
    offline.close()


def test_words_that_are_markup_can_be_asked_for(page, forged):
    open_player(page, f"{forged.url}/?photo=Astronaut&say={HOSTILE_WORDS['in']}")
    expect(page.locator(".sentence")).to_have_count(2)
    assert words(page, 1)[0] == HOSTILE_WORDS["in"]
    expect(page.get_by_text(f"What if it said “{HOSTILE_WORDS['in']}” at the beginning?")).to_be_visible()


# The server


def test_it_listens_on_this_machine_alone(server):
    connections = psutil.Process(server.process.pid).net_connections("inet")
    listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening
    assert listening <= {"127.0.0.1", "::1"}


def test_pages_of_others_cannot_use_it(server):
    assert answer(server, "GET", "/_stcore/stream", **UPGRADE, Origin=server.url)[0] == 101
    for origin in ("http://example.org", "http://localhost.example.org", "null"):
        assert answer(server, "GET", "/_stcore/stream", **UPGRADE, Origin=origin)[0] == 403
    # A name that was made to mean this machine.
    rebound = {"Host": "example.org:8501", "Origin": "http://example.org:8501"}
    assert answer(server, "GET", "/_stcore/stream", **UPGRADE, **rebound)[0] == 403
    form = FORM_HEAD + b"abc" + FORM_TAIL
    typed = {"Content_Type": FORM, "Origin": "http://example.org"}
    assert answer(server, "PUT", "/_stcore/upload_file/session/file", form, **typed)[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/media/../../../etc/passwd", "/media/%2e%2e/%2e%2e/etc/passwd", "/static/../app.py",
     "/component/x/../../../../etc/passwd", "/static/../../../../../../../../etc/passwd", "/media//etc/passwd"],
)  # fmt: skip
def test_no_address_reaches_a_file(server, path):
    body = answer(server, "GET", path)[1]
    assert b"root:" not in body
    assert b"import streamlit" not in body


@pytest.fixture
def noise(tmp_path) -> Path:
    """A photo of over two megabytes."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)).save(path)
    assert path.stat().st_size > 2 * 2**20
    return path


def test_an_upload_over_the_limit_is_refused_by_the_server(page, server, noise):
    """Whatever the browser lets through."""
    open_player(page, server.url)
    assert upload_of_size(page, noise, MAX_BYTES + 2**20) == 413


def test_a_page_that_is_closed_amid_an_upload_leaves_no_traceback(page, server, noise):
    open_player(page, server.url)
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        upload(page, noise)
    expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(r"^noise\.png"))
    headers = upload_headers(page) | {"Origin": server.url, "Content-Length": str(2 * len(FORM_HEAD))}
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.putrequest("PUT", urlsplit(sent.value.url).path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(FORM_HEAD)
    time.sleep(1)
    connection.close()
    time.sleep(1)
    assert "Traceback" not in server.log.read_text()


def test_an_upload_stays_in_memory(page, noise, tmp_path):
    """A server that can write no file of a megabyte takes a photo of two all the same."""
    with running_app(tmp_path / "log.txt") as server:
        open_player(page, server.url)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (2**20, 2**20))
        upload(page, noise)
        expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(r"^noise\.png"))
