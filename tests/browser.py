"""A running app and a browser before it, for tests and benchmarks."""

import http.client
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import psutil
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

ROOT = Path(__file__).resolve().parent.parent
# The first draws the same pages in less time, for it is made to have no window.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# Generous, for the machine may be busy with other things.
PATIENCE = 90_000
# An upload as a browser sends it, around the photo.
FORM = "multipart/form-data; boundary=x"
FORM_HEAD = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n'
FORM_TAIL = b"\r\n--x--\r\n"
# A request for a WebSocket.
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
           "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
# JavaScript: all elements below one, also those of components.
IN_SHADOWS = """const inShadows = (root) => [...root.querySelectorAll("*")].flatMap(
  (element) => [element, ...(element.shadowRoot ? inShadows(element.shadowRoot) : [])]);"""
# Headers with which a host isolates a page from others, so that the page may have threads.
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Server:
    """A running app: its address, its process and what it wrote.

    Args:
        log: where it writes.
        arguments: of the app.
        root: of the checkout.
        script: what Streamlit runs, in it.
        settings: of Streamlit, in place of those of the checkout.
        limits: kinds of `resource`, and how many bytes the process may have of each.
        command: what starts the app, if it is not Streamlit.
        environment: variables of its own.
    """

    def __init__(
        self,
        log: Path,
        *arguments: object,
        root: Path,
        script: str = "app.py",
        settings: Sequence[str] = (),
        limits: dict[int, int] | None = None,
        command: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        self.log = log
        self.url = f"http://localhost:{port}"
        if command:
            command = [*map(str, command), f"--port={port}", *map(str, arguments)]
        else:
            # As the command `streamlit` does, without the folder that it is started in on the path.
            command = [sys.executable, "-P", "-m", "streamlit", "run", script, f"--server.port={port}"]
            command += [*settings, "--", *map(str, arguments)]
        variables = os.environ | {"STREAMLIT_SERVER_HEADLESS": "true"} | dict(environment or {})
        # It computes on all cores, as people's do; see conftest.py.
        variables.pop("OMP_NUM_THREADS", None)

        def limit() -> None:
            for kind, size in (limits or {}).items():
                resource.setrlimit(kind, (size, size))

        self.process = subprocess.Popen(
            command, cwd=root, env=variables, stdout=log.open("w"), stderr=subprocess.STDOUT, preexec_fn=limit
        )

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(3000):
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1)
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def resident(self) -> int:
        """Its memory in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss


@contextmanager
def running_app(log: Path, *arguments: object, root: Path = ROOT, **how: object) -> Iterator[Server]:
    """An app started with these arguments, see `Server`; it is stopped in the end."""
    server = Server(log, *arguments, root=root, **how)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@contextmanager
def serving(folder: Path, headers: dict[str, str] | None = None, answers: Queue | None = None) -> Iterator[str]:
    """A web server that knows nothing but files, and keeps what is sent to it; its address."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def do_POST(self):
            answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object):
            pass

    with ThreadingHTTPServer(("localhost", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)


def launch_own(playwright: Playwright, profile: Path) -> BrowserContext:
    """A browser with a profile of its own, in which pages share a cache and storage."""
    return playwright.chromium.launch_persistent_context(
        profile, executable_path=CHROMIUM, args=CHROMIUM_FLAGS, viewport={"width": 1440, "height": 900}
    )


def open_player(page: Page, url: str) -> None:
    """Open an address of the app and wait until its player has drawn the photo."""
    page.goto(url)
    wait_for_picture(page)


def look_as(page: Page, look: str) -> None:
    """Choose a look, as somebody with a mouse does."""
    page.locator(".looks label", has_text=look).click()


def wait_for_picture(page: Page) -> None:
    """Until the current picture is drawn; a canvas that nothing was drawn on is 300 pixels wide."""
    # Looked for often; Playwright looks for locators only twice a second after a while.
    page.wait_for_function(
        f"""() => {{
          {IN_SHADOWS}
          const canvases = inShadows(document).filter((element) => element.matches(".picture canvas"));
          return canvases.some(({{ width, clientWidth }}) => clientWidth && width !== 300);
        }}""",
        polling=50,
    )


def in_gallery(page: Any, title: str) -> Any:
    """A photo of the gallery, to be clicked; of a page of either of Playwright's interfaces."""
    return page.get_by_role("radiogroup", name="Photo of the gallery").get_by_role("radio", name=title, exact=True)


def upload(page: Page, path: Path) -> None:
    page.get_by_role("radio", name="Upload").click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(path)


def ask_for(page: Page, name: str) -> None:
    """Click a button under *Download*."""
    button = page.get_by_role("button", name=name)
    if not button.is_visible():
        page.get_by_role("button", name="Download").click()
    button.click()


def take(page: Page, name: str) -> bytes:
    """The file that a button under *Download* gives."""
    with page.expect_download() as download:
        ask_for(page, name)
    return download.value.path().read_bytes()


def picture(page: Page, index: int = 0) -> int:
    """A number for the pixels of a photo with its attention."""
    # What stood there before may still fade above it.
    canvas = page.locator(".picture > canvas:first-child").nth(index)
    return hash(canvas.evaluate("canvas => canvas.toDataURL()"))


def words(page: Page, index: int = 0) -> list[str]:
    """The words of a caption on the page, `end` last."""
    return page.locator(".sentence").nth(index).locator("button").all_inner_texts()


def current(page: Page, index: int = 0) -> str:
    """The current word of a caption."""
    return page.locator(".sentence").nth(index).locator('[aria-current="step"]').inner_text()


def answer(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """What the server answers to a request; underscores in the names of headers stand for hyphens."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    try:
        response = connection.getresponse()
        status = response.status
        # After 101 the connection is a WebSocket, which has no end.
        return status, b"" if status == 101 else response.read()
    finally:
        connection.close()


def upload_headers(page: Page) -> dict[str, str]:
    """Those of an upload that the page sends."""
    [token] = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "_streamlit_xsrf"]
    return {"Content-Type": FORM, "X-Xsrftoken": token, "Cookie": f"_streamlit_xsrf={token}"}


def upload_of_size(page: Page, photo: Path, size: int) -> int:
    """Upload a photo in the page, and as the same session a file of this size; the status of the latter."""
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        upload(page, photo)
    body = FORM_HEAD + bytes(size) + FORM_TAIL
    request = urllib.request.Request(sent.value.url, body, upload_headers(page), method="PUT")
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        # It hung up before all was sent.
        return 413
