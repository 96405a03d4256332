"""ONNX Runtime Web, which runs the graphs in a browser: the two files that are needed, checked by their hashes."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

from captioning.errors import CaptioningError, shown
from captioning.files import write_whole

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MAX_BYTES = 64 * 2**20
LONGEST_SECONDS = 600
# No script of the package runs, and a network that is not there is said at once.
NPM_FLAGS = ("--ignore-scripts", "--loglevel=error", "--fetch-retries=0")


def runtime_files(folder: Path | None = None) -> dict[str, bytes]:
    """MODULE and WASM by name: from a folder, or from the cache, which is filled from npm the first time.

    Args:
        folder: that has them, such as `node_modules/onnxruntime-web/dist`.

    Raises:
        CaptioningError: they are not there, not those of VERSION, or npm cannot fetch them.
    """
    if folder:
        return _read(folder)
    cache = _cache_folder()
    with suppress(CaptioningError):
        return _read(cache)
    files = _fetch()
    cache.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_whole(cache / name, data)
    return files


def _cache_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches, "captioning", f"{PACKAGE}-{VERSION}")


def _read(folder: Path) -> dict[str, bytes]:
    try:
        return {name: _checked(name, (folder / name).read_bytes()) for name in SHA256}
    except OSError as error:
        raise CaptioningError(
            f"{shown(error.filename)} cannot be read ({error.strerror}): name the folder dist of {PACKAGE} {VERSION}."
        ) from None


def _fetch() -> dict[str, bytes]:
    """The files from npm's package, by npm itself, which knows where packages are and how the network is reached."""
    npm = shutil.which("npm")
    if not npm:
        raise _unfetched("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", folder, *NPM_FLAGS]
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=LONGEST_SECONDS)
            if done.returncode:
                raise _unfetched(done.stderr.strip() or "npm failed")
            with tarfile.open(Path(folder, f"{PACKAGE}-{VERSION}.tgz")) as package:
                members = {name: package.extractfile(f"package/dist/{name}") for name in SHA256}
                return {name: _checked(name, file.read(MAX_BYTES) if file else b"") for name, file in members.items()}
        except (OSError, EOFError, KeyError, tarfile.TarError, subprocess.TimeoutExpired) as error:
            raise _unfetched(error) from None


def _unfetched(reason: object) -> CaptioningError:
    return CaptioningError(
        f"{PACKAGE} {VERSION} cannot be fetched ({shown(reason)}): install Node.js with npm, or fetch the package "
        "elsewhere, and name its folder dist with --runtime."
    )


def _checked(name: str, data: bytes) -> bytes:
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise CaptioningError(f"{name} is not the one of {PACKAGE} {VERSION}: fetch the package again.")
    return data
