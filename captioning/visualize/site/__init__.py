"""The page without a server: the model, its search and the player in the visitor's browser, on any host of files.

`site.html` is the page with all of its style and code in it. What is large (graphs, runtime, photos) lies beside it,
or in it where it is one file to mail.
"""

import base64
import gzip
import hashlib
import html
import io
import json
import string
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from captioning.checkpoint import CheckpointInfo
from captioning.files import make_folder, write_whole
from captioning.images import MAX_SIDE
from captioning.inference.onnx_files import whole_graphs
from captioning.inference.options import BEAM_SIZES, SearchOptions
from captioning.inference.sureness import dev_percentiles
from captioning.visualize.export import DARK, LIGHT, page_style, script_safe
from captioning.visualize.looks import LOOKS, OCCLUSION
from captioning.visualize.player import script, style
from captioning.visualize.player.data import DISPLAY_SIZE, drawing
from captioning.visualize.screen import TALLEST, WIDEST, source
from captioning.visualize.site.runtime import MODULE, WASM, runtime_files

TITLE = "Show, Attend and Tell"
SCRIPTS = ("browser_search", "photo", "site")
ICON, ICON_SIZES = Path(__file__).parents[2] / "page" / "style" / "icon.png", (192, 512)
# Where each kind of page may take what it needs from; nothing is ever asked of another host.
BESIDE = "script-src 'self' '{hash}' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; manifest-src 'self'"
WITHIN = "script-src blob: '{hash}' 'wasm-unsafe-eval'"


@dataclass(frozen=True)
class GalleryPhoto:
    """A photo to begin with: its title, its file's name and bytes, its credit and the address of its licence."""

    title: str
    name: str
    data: bytes
    credit: str = ""
    licence_url: str = ""


def write_site(
    folder: Path, info: CheckpointInfo, precision: str, photos: Iterable[GalleryPhoto], runtime: Path | None
) -> int:
    """Write the page as a folder of static files, which is made.

    Args:
        folder: to write into.
        info, precision: the model, and which of its graphs.
        photos: the gallery.
        runtime: see `runtime_files`.

    Returns:
        How many bytes it has.

    Raises:
        CheckpointError: see `read_graphs`.
        CaptioningError: the runtime cannot be had, or a file cannot be written.
    """
    gallery = {f"photos/{photo.name}": photo for photo in photos}
    files = _model_files(info, precision, runtime)
    for size in ICON_SIZES:
        files[f"icon-{size}.png"] = _icon(size)
    files["manifest.webmanifest"] = json.dumps(_manifest()).encode()
    files |= {name: photo.data for name, photo in gallery.items()}
    description = {
        **_describe_model(info, precision, SearchOptions()),
        "sizes": {name: len(data) for name, data in files.items()},
    }
    files["index.html"] = _page(description, gallery, {})
    digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    worker = string.Template(source("site/service_worker.js"))
    files["service_worker.js"] = worker.substitute(version=digest, files=json.dumps([*files])).encode()
    for name, data in files.items():
        make_folder((folder / name).parent)
        write_whole(folder / name, data)
    return sum(map(len, files.values()))


def live_page(
    info: CheckpointInfo,
    precision: str,
    title: str,
    photo: Image.Image,
    options: SearchOptions,
    look: str,
    runtime: Path | None,
) -> bytes:
    """The page as one file that opens without a server.

    Args:
        info, precision, runtime: see `write_site`.
        title, photo: what it begins with.
        options: how it searches at first.
        look: how it draws attention at first, one of LOOKS.
    """
    file = io.BytesIO()
    photo.save(file, "PNG")
    files = {**_model_files(info, precision, runtime), "photo.png": file.getvalue()}
    description = {**_describe_model(info, precision, options), "look": look, "sizes": {}}
    return _page(description, {"photo.png": GalleryPhoto(title, "photo.png", file.getvalue())}, files)


def _model_files(info: CheckpointInfo, precision: str, runtime: Path | None) -> dict[str, bytes]:
    """Graphs and runtime. WebAssembly is compressed here, for not every host does it: it is a quarter then."""
    found = runtime_files(runtime)
    graphs = {f"{graph}.onnx": model for graph, model in whole_graphs(info, precision, half=True)}
    return {**graphs, MODULE: found[MODULE], f"{WASM}.gz": gzip.compress(found[WASM], mtime=0)}


def _page(description: dict, gallery: Mapping[str, GalleryPhoto], within: Mapping[str, bytes]) -> bytes:
    """The page; `within` are the files that it holds itself, of which there may be none."""
    code = script() + source("gallery.js") + "".join(source(f"site/{name}.js") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    photos = [
        {"title": photo.title, "file": name, "credit": photo.credit, "licence": photo.licence_url}
        for name, photo in gallery.items()
    ]
    page = string.Template(source("site/site.html")).substitute(
        policy=(WITHIN if within else BESIDE).format(hash=f"sha256-{digest}"),
        links="" if within else source("site/links.html"),
        title=TITLE,
        ground=html.escape(LIGHT["background"]),
        dark_ground=html.escape(DARK["background"]),
        css=page_style() + style() + source("site/site.css"),
        player=source("player/player.html"),
        description=script_safe({**description, "gallery": photos}),
        files="\n".join(_embedded(name, data) for name, data in within.items()),
        js=code,
    )
    return page.encode()


def _embedded(name: str, data: bytes) -> str:
    """A file as an element of the page that holds it, compressed."""
    packed = data if name.endswith(".gz") else gzip.compress(data, mtime=0)
    return f'<script type="text/plain" id="{name}">{base64.b64encode(packed).decode()}</script>'


def _describe_model(info: CheckpointInfo, precision: str, options: SearchOptions) -> dict:
    """What the page knows of a model beside its graphs, and how it begins."""
    percentiles = dev_percentiles(info.training.datasets)
    return {
        "name": info.path.stem,
        "precision": precision,
        "vocabulary": info.vocabulary.words,
        "once": info.vocabulary.once,
        "image_size": info.config.image_size,
        "search": asdict(options),
        "beam_sizes": [BEAM_SIZES[0], BEAM_SIZES[-1]],
        "percentiles": {width: values.round(4).tolist() for width, values in percentiles.items()},
        "photo": {"most": MAX_SIDE, "shown": DISPLAY_SIZE, "widest": WIDEST, "tallest": TALLEST},
        "drawing": drawing({key: name for key, name in LOOKS.items() if key != OCCLUSION}),
        "look": next(iter(LOOKS)),
        "module": MODULE,
        "wasm": f"{WASM}.gz",
    }


def _manifest() -> dict:
    """What a phone asks for before it puts the page on its home screen."""
    return {
        "name": TITLE,
        "short_name": "Attend and Tell",
        "start_url": ".",
        "display": "standalone",
        "background_color": LIGHT["background"],
        "theme_color": LIGHT["background"],
        "icons": [{"src": f"icon-{size}.png", "sizes": f"{size}x{size}", "type": "image/png"} for size in ICON_SIZES],
    }


def _icon(size: int) -> bytes:
    file = io.BytesIO()
    with Image.open(ICON) as icon:
        icon.resize((size, size), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()
