"""The Dockerfile, carried out step by step without Docker."""

import fnmatch
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import ROOT

USER = 1000
# Steps that this test carries out, or that only name a port or a base.
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"}


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, with their arguments."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    instructions = [tuple(line.split(maxsplit=1)) for line in "\n".join(lines).replace("\\\n", "").splitlines()]
    assert {name for name, _ in instructions} <= KNOWN
    return instructions


def python_for_everybody() -> Path:
    """A Python that another user than this one can run."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        path = Path(candidate).resolve()
        if path.exists() and all(folder.stat().st_mode & 0o005 == 0o005 for folder in path.parents):
            return path
    pytest.skip("there is no Python that another user may run")


def is_ignored(path: Path) -> bool:
    """Whether .dockerignore keeps a path of the checkout out."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in path.parts):
            ignored = not line.startswith("!")
    return ignored


class Image:
    """What a Dockerfile makes: a folder, an environment, and how to start what is in it."""

    def __init__(self, root: Path):
        self.root, self.folder, self.user = root, root, None
        subprocess.run([python_for_everybody(), "-m", "venv", root / "venv"], check=True)
        self.environment = {"PATH": f"{root / 'venv' / 'bin'}:/usr/bin:/bin", "LANG": "C.UTF-8"}
        # What this machine needs to reach its package index.
        needed = re.compile("pip_|ssl_|.*_proxy$", re.IGNORECASE)
        self.network = {name: value for name, value in os.environ.items() if needed.match(name)}
        self.command: list[str] = []

    def build(self) -> None:
        for name, arguments in steps():
            getattr(self, f"_{name.lower()}", lambda _: None)(arguments)

    def _workdir(self, place: str) -> None:
        self.folder = self.root / place.lstrip("/")
        self.folder.mkdir()

    def _copy(self, arguments: str) -> None:
        source, place = arguments.split()
        assert not is_ignored(Path(source))
        target = self.folder / place
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)

    def _run(self, command: str) -> None:
        subprocess.run(command, shell=True, check=True, cwd=self.folder, env=self.environment | self.network)

    def _user(self, identity: str) -> None:
        self.user = int(identity.split(":")[0])

    def _env(self, assignment: str) -> None:
        name, value = assignment.split("=", 1)
        self.environment[name] = value

    def _healthcheck(self, arguments: str) -> None:
        self.healthcheck = arguments.removeprefix("CMD ")

    def _cmd(self, arguments: str) -> None:
        self.command = json.loads(arguments)

    @contextmanager
    def running(self, **environment: str) -> Iterator[subprocess.Popen]:
        """The command, as the user that the Dockerfile names."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            self.environment["STREAMLIT_SERVER_PORT"] = str(free.getsockname()[1])
        command = [shutil.which(self.command[0], path=self.environment["PATH"]), *self.command[1:]]
        who = {"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment | environment, **who)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def healthy(self) -> bool:
        """Whether the Dockerfile's own check is content, within a minute."""
        for _ in range(120):
            check = subprocess.run(self.healthcheck, shell=True, env=self.environment, stderr=subprocess.DEVNULL)
            if not check.returncode:
                return True
            time.sleep(0.5)
        return False


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not below pytest's folder, which no other user may enter.
    root = Path(tempfile.mkdtemp(prefix="image-"))
    root.chmod(0o755)
    image = Image(root)
    image.build()
    yield image
    shutil.rmtree(root)


@pytest.mark.slow
def test_the_dockerfile_makes_an_app_that_answers_and_does_not_run_as_root(image):
    assert image.user == USER
    with image.running() as process:
        assert image.healthy()
        assert Path(f"/proc/{process.pid}").stat().st_uid in (USER, os.geteuid() or USER)
        port = image.environment["STREAMLIT_SERVER_PORT"]
        assert upgrade(port, "localhost") == 101
        assert upgrade(port, "captions.example.org") == 403


@pytest.mark.slow
def test_the_environment_names_the_hosts_that_the_container_answers_to(image):
    with image.running(STREAMLIT_SERVER_ALLOWED_HOSTS="captions.example.org localhost"):
        assert image.healthy()
        port = image.environment["STREAMLIT_SERVER_PORT"]
        assert upgrade(port, "captions.example.org") == 101
        assert upgrade(port, "elsewhere.example.org") == 403


@pytest.mark.slow
def test_the_container_captions_and_has_no_pytorch(image):
    python = image.root / "venv" / "bin" / "python"
    call = [python, "-m", "captioning", "caption", "captioning/page/photos/pizza.jpg"]
    run = subprocess.run(call, cwd=image.folder, env=image.environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
    assert subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode


def upgrade(port: str, host: str) -> int:
    """The status with which the app's socket answers a page under this name."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(64).split()[1])
