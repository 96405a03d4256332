"""*Show, Attend and Tell*: captions of photos, and where the model looked for each word.

from captioning import DEFAULT_CHECKPOINT, Captioner
caption = Captioner.from_checkpoint(DEFAULT_CHECKPOINT)("photo.jpg")
print(caption.text)
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

# Threads of PyTorch that have nothing to do sleep instead of spinning, which would take the cores from all others. Read
# when PyTorch is loaded; what the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

__version__ = "0.2.0"

_PACKAGE = Path(__file__).parent
# Where the checkpoints and the app are: in the package where it is installed, beside it in a checkout.
_HOME = _PACKAGE if (_PACKAGE / "checkpoints").is_dir() else _PACKAGE.parent
APP = _HOME / "app.py"
# The variable names another folder of checkpoints; the default one need not be in it.
CHECKPOINT_FOLDER = Path(os.environ.get("CAPTIONING_CHECKPOINTS") or _HOME / "checkpoints").expanduser()
_DEFAULT = "flickr8k-coco-efficientnet-lite2.safetensors"
DEFAULT_CHECKPOINT = next(
    (folder / _DEFAULT for folder in (CHECKPOINT_FOLDER, _HOME / "checkpoints") if (folder / _DEFAULT).is_file()),
    CHECKPOINT_FOLDER / _DEFAULT,
)

# Loaded when they are asked for: torch alone takes a second, and a command that only explains itself needs none of it.
_HOMES = {
    "Caption": "inference.caption",
    "Captioner": "inference.captioner",
    "CaptioningError": "errors",
    "CheckpointError": "errors",
    "DatasetError": "errors",
    "ImageError": "errors",
    "PrefixError": "errors",
    "RectangleError": "errors",
    "SearchOptions": "inference.options",
    "Step": "inference.caption",
    "hide": "hiding",
    "notebook_html": "visualize.notebook",
    "open_image": "images",
}
__all__ = ["CHECKPOINT_FOLDER", "DEFAULT_CHECKPOINT", "__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
