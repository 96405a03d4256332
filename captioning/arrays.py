"""Photos that are given as arrays of NumPy or tensors of PyTorch."""

import sys
from typing import Any

import numpy as np
from PIL import Image

from captioning.errors import ImageError

# Gray, gray with transparency, RGB, RGB with transparency.
CHANNELS = (1, 2, 3, 4)


def as_array(source: Any) -> np.ndarray | None:
    """A tensor (C, H, W) or (H, W) as an array (H, W, C) or (H, W), an array as it is, anything else as None."""
    if isinstance(source, np.ndarray):
        return source
    # Whoever has a tensor has imported PyTorch.
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(source, torch.Tensor):
        return None
    tensor = source.detach().cpu()
    # NumPy has no bfloat16.
    array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def is_photo(array: np.ndarray) -> bool:
    """Whether the shape and the type of an array are those of a photo."""
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)
    return shaped and (array.dtype in (np.uint8, np.uint16) or array.dtype.kind == "f")


def to_image(array: np.ndarray, name: str) -> Image.Image:
    """A photo (H, W) or (H, W, C) of uint8, of uint16, or of floats from 0 to 1 or from 0 to 255.

    Raises:
        ImageError: it has no pixels, or floats out of this range.
    """
    if not array.size:
        raise ImageError(f"{name} is empty: choose another photo.")
    if array.dtype == np.uint16:
        array = array / 257
    elif array.dtype.kind == "f":
        least, most = array.min(), array.max()
        # Not the other way round: comparing with NaN is false.
        if not (least >= 0 and most <= 255):
            raise ImageError(f"{name} has values from {least:.4g} to {most:.4g}: scale them to 0 to 1, or to 0 to 255.")
        array = array * (255.0 if most <= 1 else 1.0)
    values = np.ascontiguousarray(np.rint(array).astype(np.uint8))
    return Image.fromarray(values[..., 0] if values.shape[2:] == (1,) else values)
