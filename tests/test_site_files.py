"""What a site is made of: graphs that compute the same in half the space, and a runtime that is the known one."""

import io
import json
import tarfile

import numpy as np
import pytest

from captioning import DEFAULT_CHECKPOINT, CaptioningError, open_image
from captioning.__main__ import main
from captioning.checkpoint import graph_name, read_info
from captioning.inference.onnx_backend import open_session
from captioning.inference.onnx_files import whole_graphs
from captioning.visualize.site.runtime import MODULE, PACKAGE, VERSION, WASM, runtime_files
from tests.browser import serving
from tests.helpers import checkpoint_parts, forge, refused


def test_graphs_with_weights_in_half_precision_compute_bit_for_bit_the_same(captioner, photos):
    info = read_info(DEFAULT_CHECKPOINT)
    whole, half = (dict(whole_graphs(info, "float32", half=half)) for half in (False, True))
    pixels = captioner.pixels(open_image(photos / "coffee.jpg"))[None]
    found = [open_session(graphs["encoder"], {}).run(None, {"pixels": pixels}) for graphs in (whole, half)]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(len(half[name]) < 0.52 * len(whole[name]) for name in whole)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_runtime_that_is_another_is_refused(tmp_path, monkeypatch, empty_cache):
    folder = tmp_path / "dist"
    folder.mkdir()
    with refused(CaptioningError, MODULE, VERSION):
        runtime_files(folder)
    for name in (MODULE, WASM):
        (folder / name).write_bytes(b"another")
    with refused(CaptioningError, MODULE, VERSION):
        runtime_files(folder)
    package = tmp_path / "package.tgz"
    with serving(tmp_path) as registry:
        monkeypatch.setenv("npm_config_registry", registry)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        about = {"name": PACKAGE, "version": VERSION, "dist": {"tarball": f"{registry}/package.tgz"}}
        (tmp_path / PACKAGE).write_text(json.dumps({"name": PACKAGE, "versions": {VERSION: about}}))
        for data in (b"no archive", archive({}), archive({f"package/dist/{MODULE}": b"another"})):
            package.write_bytes(data)
            with refused(CaptioningError, VERSION):
                runtime_files()
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused(CaptioningError, "npm is not installed", "--runtime"):
        runtime_files()
    assert not (tmp_path / "cache").exists()


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as package:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            package.addfile(member, io.BytesIO(data))
    return file.getvalue()


def test_what_cannot_be_written_is_said_in_one_sentence(run_main, tmp_path, photos, monkeypatch, empty_cache):
    monkeypatch.setenv("npm_config_registry", "http://localhost:1/")
    without = forge(
        DEFAULT_CHECKPOINT,
        tmp_path / "without.safetensors",
        {name: None for name in checkpoint_parts(DEFAULT_CHECKPOINT)[0] if name.startswith("graph.")},
    )
    assert graph_name("float32", "step") not in read_info(without).tensors
    photo = photos / "coffee.jpg"
    for call, named in (
        (("site", "-o", tmp_path / "site"), "--runtime"),
        (("site", "-o", tmp_path / "site", "--checkpoint", without), "optimize"),
        (("export", photo, "--format", "gif", "--live", "-o", tmp_path / "a.gif"), "--format html"),
        (("export", photo, "--format", "html", "--live", "-o", tmp_path / "a.html"), "--runtime"),
    ):
        code, out, error = run_main(main, *call)
        assert (code, out) == (2, "")
        assert error.count("\n") == 1
        assert named in error
    assert not (tmp_path / "site").exists()
