"""The data and photos that tests share."""

from pathlib import Path

import pytest
import skimage

from captioning import Captioner
from captioning.checkpoint import DEFAULT_CHECKPOINT

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The real Flickr8k beside the checkout."""
    folder = ROOT.parent / "shared" / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"Flickr8k is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos that scikit-image's wheel carries."""
    return Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="session")
def captioner() -> Captioner:
    """The default checkpoint."""
    return Captioner.from_checkpoint(DEFAULT_CHECKPOINT)
