"""The package as it is installed from a wheel, in a folder that has nothing of the checkout."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from email import message_from_bytes
from importlib.metadata import EntryPoint
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import expect

import captioning
from captioning.__main__ import main
from captioning.data.datasets import read_dataset
from captioning.images import MAX_BYTES
from tests.browser import (
    CHROMIUM,
    PATIENCE,
    ROOT,
    UPGRADE,
    answer,
    open_player,
    running_app,
    upload_of_size,
    words,
)
from tests.helpers import make_kaggle

pytestmark = pytest.mark.slow
# Without the folder that a command is started in on the path.
PYTHON = (sys.executable, "-P", "-m")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".git", ".venv*", ".cache", "__pycache__", "build", "*.egg-info", "tests", "runs")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"]
    subprocess.run([*PYTHON, "pip", *map(str, build)], check=True)
    return ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The folder that it is installed in."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def run(site: Path, folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(site), **variables}
    command = [*PYTHON, "captioning", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_wheel_has_every_file_of_the_package_the_trained_models_and_the_app(wheel):
    packed = set(wheel.namelist())
    for folder, place in (("captioning", "captioning"), ("checkpoints", "captioning/checkpoints")):
        paths = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()]
        files = {Path(place, path).as_posix() for path in paths if "__pycache__" not in path.parts}
        assert files
        assert files <= packed
    assert {"captioning/app.py", "captioning/.streamlit/config.toml", "captioning/py.typed"} <= packed
    assert f"captioning-{captioning.__version__}.dist-info/METADATA" in packed
    assert not any(name.startswith(("tests", "benchmarks")) for name in packed)


def test_a_wheel_offers_what_the_app_and_training_need(wheel):
    about = f"captioning-{captioning.__version__}.dist-info"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    commands = ConfigParser()
    commands.read_string(wheel.read(f"{about}/entry_points.txt").decode())
    assert dict(commands["console_scripts"]) == settings["project"]["scripts"]
    assert EntryPoint("", commands["console_scripts"]["captioning"], "").load() is main
    metadata = message_from_bytes(wheel.read(f"{about}/METADATA"))
    offered = settings["tool"]["setuptools"]["dynamic"]
    assert {"app", "train"} <= offered["optional-dependencies"].keys() == set(metadata.get_all("Provides-Extra"))
    # Each with the condition under which it is installed.
    needed = {None: offered["dependencies"], **offered["optional-dependencies"]}
    expected = {
        f"{Requirement(line)}" + (f'; extra == "{extra}"' if extra else "")
        for extra, lists in needed.items()
        for line in (ROOT / lists["file"]).read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert {str(Requirement(line)) for line in metadata.get_all("Requires-Dist")} == expected
    python = "{}.{}".format(*sys.version_info)
    assert f"Programming Language :: Python :: {python}" in metadata.get_all("Classifier")


def test_it_captions_from_any_folder(site, tmp_path, captioner, photos):
    photo = photos / "coffee.jpg"
    captioned = run(site, tmp_path, "caption", photo)
    assert captioned.stdout.strip() == captioner(photo).text, captioned.stderr


def test_it_says_where_its_checkpoints_are(site, tmp_path, photos):
    assert run(site, tmp_path, "--version").stdout == f"{captioning.__version__}\n"
    assert str(site / "captioning" / "checkpoints") in "".join(run(site, tmp_path, "--help").stdout.split())
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(captioning.DEFAULT_CHECKPOINT, mine)
    other = run(site, tmp_path, "caption", "--help", CAPTIONING_CHECKPOINTS=str(mine))
    assert str(mine / captioning.DEFAULT_CHECKPOINT.name) in "".join(other.stdout.split())
    # One that lacks the default checkpoint leaves it where it was.
    bundled = run(site, tmp_path, "caption", "--help", CAPTIONING_CHECKPOINTS=str(tmp_path))
    assert str(site) in "".join(bundled.stdout.split())


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_its_app_keeps_the_settings_of_the_checkouts(site, tmp_path, browser, photos):
    log, command = tmp_path / "log.txt", (*PYTHON, "captioning", "app")
    folders = [make_kaggle(tmp_path / name) for name in ("one", "two")]
    how = {"root": tmp_path, "command": command, "environment": {"PYTHONPATH": str(site)}}
    with running_app(log, "--data", *folders, **how) as server:
        foreign = {"Host": "example.org:8501", "Origin": "http://example.org:8501"}
        assert answer(server, "GET", "/_stcore/stream", **UPGRADE, Origin=server.url)[0] == 101
        assert answer(server, "GET", "/_stcore/stream", **UPGRADE, **foreign)[0] == 403
        with browser.new_page() as page:
            page.set_default_timeout(PATIENCE)
            open_player(page, server.url)
            assert words(page)[-1] == "end"
            assert upload_of_size(page, photos / "coffee.jpg", MAX_BYTES + 2**20) == 413
            expect(page.locator(".picture canvas")).to_be_visible()
            # A photo of the second data set.
            photo = f"{read_dataset(folders[1]).split('dev')[0].photo.name} (two)"
            open_player(page, f"{server.url}/?split=dev&photo={photo}")
            expect(page.locator(".picture canvas")).to_have_attribute("aria-label", re.compile(f"^{re.escape(photo)}"))
    assert "Traceback" not in log.read_text()
