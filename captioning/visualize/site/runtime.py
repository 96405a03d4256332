"""ONNX Runtime Web, which runs the graphs in a browser: the two files that are needed, checked by their hashes."""

import hashlib
import io
import os
import tarfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from captioning.errors import CaptioningError, shown
from captioning.files import write_whole

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# Where npm's packages are, unless this variable names another place, as it does for npm.
REGISTRY, REGISTRY_VARIABLE = "https://registry.npmjs.org", "npm_config_registry"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
MAX_BYTES = 64 * 2**20
TIMEOUT_SECONDS = 60


def runtime_files(folder: Path | None = None) -> dict[str, bytes]:
    """MODULE and WASM by name: from a folder, or from the cache, which is filled from npm the first time.

    Args:
        folder: that has them, such as `node_modules/onnxruntime-web/dist`.

    Raises:
        CaptioningError: they are not there, not those of VERSION, or npm cannot be reached.
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
    registry = os.environ.get(REGISTRY_VARIABLE) or REGISTRY
    address = f"{registry.rstrip('/')}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
            data = io.BytesIO(answer.read(MAX_BYTES))
        with tarfile.open(fileobj=data) as package:
            members = {name: package.extractfile(f"package/dist/{name}") for name in SHA256}
            return {name: _checked(name, file.read(MAX_BYTES) if file else b"") for name, file in members.items()}
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
        raise CaptioningError(
            f"{PACKAGE} {VERSION} cannot be fetched from {shown(registry)} ({shown(error)}): "
            "fetch the package elsewhere, and name its folder dist with --runtime."
        ) from None


def _checked(name: str, data: bytes) -> bytes:
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise CaptioningError(f"{name} is not the one of {PACKAGE} {VERSION}: fetch the package again.")
    return data
