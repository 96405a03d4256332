"""Repositories of the Hub: a folder and a small Hub on this machine, which keeps what is pushed to it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from captioning import DEFAULT_CHECKPOINT, Captioner, CheckpointError
from captioning.hub import WEIGHTS, write_repository
from tests.browser import ROOT
from tests.helpers import refused

LOAD = (
    "import sys\n"
    "from captioning import Captioner, CaptioningError\n"
    "try: print(Captioner.from_pretrained(sys.argv[1], 'cpu')(sys.argv[2]).text, 'torch' in sys.modules)\n"
    "except CaptioningError as error: sys.exit(f'{error}')"
)


class Hub(BaseHTTPRequestHandler):
    """The answers of the Hub that `hf_hub_download` and `upload_folder` need; owners are called by what they may do."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]

    def do_GET(self):
        owner, name = self.path.split("/")[1:3]
        file = self.files.get(self.path.rpartition("/")[2])
        if self.path.startswith("/api") or owner == "missing":
            self.answer(404, b"", **{"X-Error-Code": "RepoNotFound"})
        elif owner == "gated":
            self.answer(403, b"", **{"X-Error-Code": "GatedRepo"})
        elif owner == "broken":
            self.answer(500, b"")
        elif name == "empty" or file is None:
            self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        else:
            self.answer(200, file, **{"ETag": f'"{sha256(file).hexdigest()}"', "X-Repo-Commit": "0" * 40})

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        body = self.body()
        if b"refused" in body:
            return self.answer(401, b"")
        if self.path.endswith("/preupload/main"):
            modes = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer(200, json.dumps({"files": modes}).encode())
        if self.path.endswith("/commit/main"):
            entries = [json.loads(line) for line in body.splitlines()]
            files = [entry["value"] for entry in entries if entry["key"] == "file"]
            self.files.update({file["path"]: base64.b64decode(file["content"]) for file in files})
        address = f"http://{self.headers['Host']}/owner/name"
        self.answer(200, json.dumps({"url": address, "commitUrl": address, "commitOid": "0" * 40}).encode())

    def body(self) -> bytes:
        if length := self.headers["Content-Length"]:
            return self.rfile.read(int(length))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of a Hub, and its files."""
    files: dict[str, bytes] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Running", (Hub,), {"files": files})) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", files
        server.shutdown()


@pytest.fixture
def run(tmp_path):
    """Runs Python with a Hub at an address, and a cache of its own; gives exit code, standard output and error."""

    def python(endpoint: str, *arguments: object) -> tuple[int, str, str]:
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_none"}
        settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, *map(str, arguments)]
        run = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True)
        return run.returncode, run.stdout, run.stderr

    return python


def test_a_folder_captions_as_its_checkpoint_does(captioner, photos, tmp_path):
    write_repository(DEFAULT_CHECKPOINT, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == DEFAULT_CHECKPOINT.read_bytes()
    assert json.loads((tmp_path / "config.json").read_text())["image_size"] == captioner.info.config.image_size
    loaded = Captioner.from_pretrained(tmp_path, captioner.runtime.device)
    assert loaded(photos / "coffee.jpg").text == captioner(photos / "coffee.jpg").text


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("# Mine\n", None),
        ("# Mine\n\nLicense: Apache-2.0\n", "apache-2.0"),
        ("---\nlicense: mit\n---\n# Mine\n", "mit"),
    ],
)
def test_the_card_has_metadata_and_the_license_it_names(card, license, tmp_path):
    from huggingface_hub import ModelCard

    checkpoint = tmp_path / "mine.safetensors"
    checkpoint.symlink_to(DEFAULT_CHECKPOINT)
    checkpoint.with_suffix(".md").write_text(card)
    write_repository(checkpoint, tmp_path / "repository")
    read = ModelCard.load(tmp_path / "repository" / "README.md")
    assert read.data.license == license
    assert read.text.strip() == card.rpartition("---\n")[2].strip()
    if not card.startswith("---"):
        assert (read.data.library_name, read.data.pipeline_tag) == ("captioning", "image-to-text")


@pytest.mark.slow
def test_what_is_pushed_can_be_loaded_then_also_without_a_network(hub, run, captioner, photos):
    endpoint, files = hub
    code, out, error = run(endpoint, "-m", "captioning", "push", DEFAULT_CHECKPOINT, "owner/name")
    assert code == 0, error
    assert f"{endpoint}/owner/name" in out
    assert sorted(files) == ["README.md", "config.json", WEIGHTS]
    assert files[WEIGHTS] == DEFAULT_CHECKPOINT.read_bytes()
    photo = photos / "coffee.jpg"
    for address in (endpoint, "http://127.0.0.1:9"):
        code, out, error = run(address, "-c", LOAD, "owner/name", photo)
        assert code == 0, error
        assert out == f"{captioner(photo).text} False\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repository", "naming"),
    [("missing/name", "no repository"), ("gated/name", "refuses"), ("owner/empty", WEIGHTS), ("broken/name", "500")],
)
def test_what_the_hub_does_not_give_ends_in_one_sentence(hub, run, repository, naming):
    code, _, error = run(hub[0], "-c", LOAD, repository, "photo.jpg")
    assert (code, len(error.splitlines())) == (1, 1), error
    assert repository in error
    assert naming in error


@pytest.mark.slow
def test_a_push_that_is_refused_or_finds_no_network_ends_in_one_sentence(hub, run):
    for endpoint, naming in ((hub[0], "401"), ("http://127.0.0.1:9", "network")):
        code, out, error = run(endpoint, "-m", "captioning", "push", DEFAULT_CHECKPOINT, "owner/refused")
        assert (code, out, len(error.splitlines())) == (2, "", 1), error
        assert "owner/refused" in error
        assert naming in error


def test_no_network_ends_in_one_sentence(run):
    code, _, error = run("http://127.0.0.1:9", "-c", LOAD, "owner/name", "photo.jpg")
    assert (code, len(error.splitlines())) == (1, 1), error
    assert "network" in error


def test_what_is_no_repository_is_refused(monkeypatch, tmp_path):
    with refused(CheckpointError, WEIGHTS):
        Captioner.from_pretrained(tmp_path)
    with refused(CheckpointError, "from_checkpoint"):
        Captioner.from_pretrained(DEFAULT_CHECKPOINT)
    with refused(CheckpointError, "owner/name"):
        Captioner.from_pretrained(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with refused(CheckpointError, "file"):
        write_repository(DEFAULT_CHECKPOINT, tmp_path / "file")
    with refused(CheckpointError, "nothing.safetensors"):
        write_repository(Path("nothing.safetensors"), tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with refused(CheckpointError, "requirements-hub.txt"):
        Captioner.from_pretrained("owner/name")
