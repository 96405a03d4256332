"""The data and photos that tests share."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright
from streamlit.testing.v1 import AppTest

import captioning
from captioning import DEFAULT_CHECKPOINT, Captioner
from captioning.page.gallery import sample_photos
from tests.browser import PATIENCE, ROOT, Server, launch, launch_own, open_player, running_app

# Processes that test at the same time share the cores; operations split over all of them would wait for each other.
# Read by PyTorch when it is imported, which this file leaves to the tests that need it, and by `thread_count`.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


# Files that take longest, longest first: begun last, one would keep a process busy while the others have nothing to do.
LONGEST = ("browser", "site", "hostile_checkpoints", "disk_and_kills", "training", "uploads", "ray", "app", "data_page")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}" for name in LONGEST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The real Flickr8k beside the checkout."""
    folder = ROOT.parent / "shared" / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of the real photos that come with the app."""
    return sample_photos()["Astronaut"].parent


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    """The default checkpoint."""
    return Captioner.from_checkpoint(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes on one core, so that small models do not wait for cores that others are busy on."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def without_java() -> Iterator[None]:
    """METEOR is left out, which takes longer than all the rest of a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        yield


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Runs a command's `main` in this process; gives exit code, standard output and standard error."""

    def run(main: Callable[[], int], *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as stopped:
            code = stopped.code
        out, error = capsys.readouterr()
        return code, out, error

    return run


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """A running app, with the data set where it is."""
    folder = ROOT.parent / "shared" / "flickr8k"
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with running_app(log, *(["--data", folder] if folder.is_dir() else [])) as server:
        yield server
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright) -> Iterator[Browser]:
    browser = launch(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def own_browser(playwright, tmp_path_factory) -> Iterator[BrowserContext]:
    """One that keeps what it has loaded, as somebody's own does, so that the page opens in a third less time."""
    context = launch_own(playwright, tmp_path_factory.mktemp("profile"))
    yield context
    context.close()


@pytest.fixture
def page(own_browser, server) -> Iterator[Page]:
    """The app with a photo, at its first word, as at the first visit."""
    expect.set_options(timeout=PATIENCE)
    page = own_browser.new_page()
    page.set_default_timeout(PATIENCE)
    open_player(page, f"{server.url}/?photo=Astronaut#word=1")
    yield page
    page.evaluate("localStorage.clear()")
    page.close()


@pytest.fixture
def start(monkeypatch):
    """Starts the app with the given command-line arguments, at the given address."""
    # For each page Streamlit looks through all installed packages for components, of which there are none.
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: [])

    def run(*arguments: object, **address: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["app.py", *map(str, arguments)])
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in address.items():
            app.query_params[name] = value
        return app.run()

    return run


@pytest.fixture
def checkpoint_folder(tmp_path, monkeypatch, captioner) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    shutil.copy(captioner.info.path, folder / "good.safetensors")
    monkeypatch.setattr(captioning, "CHECKPOINT_FOLDER", folder)
    return folder
