"""The encoder-feature cache: a frozen encoder sees each photo once, however many captions and epochs there are."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from captioning.errors import DatasetError, ImageError
from captioning.files import file_digest, holding, remedy, replacing, reserve
from captioning.images import open_image, to_pixels
from captioning.model.encoder import photos_at_a_time
from captioning.model.model import CaptioningModel


def cached_features(folder: Path, model: CaptioningModel, photos: list[Path], *, mirror: bool) -> np.ndarray:
    """Features of photos, from the cache or computed now: a memory-mapped float16 array (photos, views, L, D).

    There is one view of a photo, or with `mirror` a second: its mirror image. A cache belongs to one encoder with
    its weights, image size and list of photos (names and contents of the files); for any other a new one is made. A
    cache that was interrupted is continued; one that another process is filling is waited for.

    Raises:
        DatasetError: the cache cannot be written, or is damaged.
        ImageError: a photo cannot be read.
    """
    key = _key(model, photos, mirror)
    shape = (len(photos), 2 if mirror else 1, *_grid_shape(model))
    place = folder / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:20]
    try:
        if not _is_complete(place, shape):
            place.mkdir(parents=True, exist_ok=True)
            with holding(place, lambda: print(f"Another run is filling {place}: waiting for it.", flush=True)):
                _fill(model, photos, *_open(place, shape, key))
        return _load(place / "features.npy", "r", shape)
    except OSError as error:
        size = np.prod(shape) * 2 / 2**30
        raise DatasetError(
            f"The feature cache ({size:.1f} GB) cannot be kept in {folder} ({error.strerror}): "
            f"{remedy(error)}, or name another folder with --cache."
        ) from None


def _key(model: CaptioningModel, photos: list[Path], mirror: bool) -> dict:
    weights = hashlib.sha256()
    for tensor in model.encoder.state_dict().values():
        weights.update(tensor.cpu().contiguous().numpy().tobytes())
    return {
        "encoder": model.config.encoder,
        "weights": weights.hexdigest(),
        "image_size": model.config.image_size,
        "grid_size": model.config.grid_size,
        "resized": "Pillow, bicubic",
        "mirror": mirror,
        "photos": [[photo.name, photo_digest(photo)] for photo in photos],
    }


def photo_digest(photo: Path) -> str:
    """SHA-256 of a photo's file.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        return file_digest(photo)
    except OSError as error:
        why = error.strerror or error
        raise ImageError(f"{photo} cannot be read ({why}): put it back, or run the same again.") from None


def _grid_shape(model: CaptioningModel) -> tuple[int, int]:
    rows, columns = model.encoder.grid
    return rows * columns, model.encoder.channels


def _is_complete(place: Path, shape: tuple[int, ...]) -> bool:
    done = place / "done.npy"
    return done.is_file() and bool(_load(done, "r", shape[:1]).all())


def _load(path: Path, mode: Literal["r", "r+"], shape: tuple[int, ...]) -> np.memmap:
    try:
        found = np.load(path, mmap_mode=mode)
        if found.shape != shape:
            raise ValueError("another shape")
    except (EOFError, ValueError):
        raise DatasetError(f"{path} in the feature cache is damaged: delete its folder.") from None
    return found


def _open(place: Path, shape: tuple[int, ...], key: dict) -> tuple[np.memmap, np.memmap]:
    """The features and, for each photo, whether they are there; made empty under temporary names at first."""
    features, done = place / "features.npy", place / "done.npy"
    # `done` is made last, so that it stands for both.
    if not done.is_file():
        (place / "key.json").write_text(json.dumps(key))
        _create(features, shape, np.float16)
        _create(done, shape[:1], np.uint8)
    return _load(features, "r+", shape), _load(done, "r+", shape[:1])


def _create(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    with replacing(path) as temporary:
        open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        # A disk that fills up later would end the process when it writes to the mapping.
        reserve(temporary)


def _fill(model: CaptioningModel, photos: list[Path], features: np.memmap, done: np.memmap) -> None:
    missing = np.flatnonzero(done == 0)
    device = next(model.parameters()).device
    size, views, step = model.config.image_size, features.shape[1], photos_at_a_time(device)
    model.encoder.eval()
    batches = [missing[start : start + step] for start in range(0, len(missing), step)]
    with (
        torch.inference_mode(),
        ThreadPoolExecutor() as readers,
        tqdm(total=len(missing), desc="Encoding photos", unit="photo") as bar,
    ):
        for batch in batches:
            pixels = list(readers.map(lambda index: to_pixels(open_image(photos[index]), size), batch))
            upright = torch.from_numpy(np.stack(pixels)).to(device)
            for view, images in enumerate([upright, upright.flip(-1)][:views]):
                features[batch, view] = model.encoder(images).half().cpu().numpy()
            features.flush()
            done[batch] = 1
            bar.update(len(batch))
    done.flush()
