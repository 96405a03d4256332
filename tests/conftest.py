"""The data and photos that tests share."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage
from playwright.sync_api import Browser, sync_playwright

from captioning import Captioner
from captioning.defaults import DEFAULT_CHECKPOINT
from tests.browser import ROOT, Server, launch, running_app


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The real Flickr8k beside the checkout."""
    folder = ROOT.parent / "shared" / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos that scikit-image's wheel carries."""
    return Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    """The default checkpoint."""
    return Captioner.from_checkpoint(DEFAULT_CHECKPOINT)


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
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()
