"""Where the checkpoints are that come with the package."""

from pathlib import Path

CHECKPOINT_FOLDER = Path(__file__).parent.parent / "checkpoints"
DEFAULT_CHECKPOINT = CHECKPOINT_FOLDER / "flickr8k-efficientnet-lite2.safetensors"
