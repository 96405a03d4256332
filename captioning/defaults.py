"""Where the checkpoints are that come with the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
# In the package where it is installed, beside it in a checkout.
_INSTALLED = _PACKAGE / "checkpoints"
CHECKPOINT_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "checkpoints"
DEFAULT_CHECKPOINT = CHECKPOINT_FOLDER / "flickr8k-efficientnet-lite2.safetensors"
