"""The feature cache gives what the encoder gives, computes it once, and survives being killed."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from captioning.data.features import cached_features
from captioning.errors import DatasetError, ImageError
from captioning.images import open_image, to_pixels
from tests.conftest import ROOT
from tests.helpers import TINY, make_photos, refused, tiny_model

pytestmark = pytest.mark.usefixtures("without_java")

# Features are stored as float16.
CLOSE = {"rtol": 2e-3, "atol": 2e-3}


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def photos(tmp_path):
    """More than fit in a batch, and no whole number of batches."""
    return make_photos(tmp_path / "photos", [f"{number}.png" for number in range(11)])


@contextmanager
def counted(encoder):
    """The number of photos that the encoder sees meanwhile, in a list of one number a call."""
    seen = []
    hook = encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    try:
        yield seen
    finally:
        hook.remove()


@torch.inference_mode()
def encoded(model, path, mirror=False) -> np.ndarray:
    """What the encoder itself gives for one photo."""
    photo = open_image(path)
    pixels = to_pixels(ImageOps.mirror(photo) if mirror else photo, model.config.image_size)
    return model.encoder(torch.from_numpy(pixels).unsqueeze(0))[0].numpy()


def test_holds_what_the_encoder_gives_for_each_photo_and_its_mirror_image(model, photos, tmp_path):
    features = cached_features(tmp_path / "cache", model, photos, mirror=True)
    rows, columns = model.encoder.grid
    assert features.shape == (len(photos), 2, rows * columns, model.encoder.channels)
    assert features.dtype == np.float16
    for path, (upright, mirrored) in zip(photos, features, strict=True):
        np.testing.assert_allclose(upright, encoded(model, path), **CLOSE)
        np.testing.assert_allclose(mirrored, encoded(model, path, mirror=True), **CLOSE)
        assert np.abs(upright - mirrored).max() > 0.1
    single = cached_features(tmp_path / "cache", model, photos, mirror=False)
    assert single.shape == (len(photos), 1, *features.shape[2:])
    np.testing.assert_array_equal(single[:, 0], features[:, 0])


def test_each_photo_is_encoded_once_in_its_life(model, photos, tmp_path):
    with counted(model.encoder) as seen:
        first = np.array(cached_features(tmp_path / "cache", model, photos, mirror=False))
    assert sum(seen) == len(photos)
    files = sorted((tmp_path / "cache").rglob("*.*"))
    times = [file.stat().st_mtime_ns for file in files]
    with counted(model.encoder) as seen:
        second = cached_features(tmp_path / "cache", model, photos, mirror=False)
    assert seen == []
    np.testing.assert_array_equal(first, second)
    assert sorted((tmp_path / "cache").rglob("*.*")) == files
    assert [file.stat().st_mtime_ns for file in files] == times


def test_other_weights_sizes_or_photos_have_a_cache_of_their_own(model, photos, tmp_path):
    cache = tmp_path / "cache"

    def computed(model, photos, mirror=False) -> int:
        with counted(model.encoder) as seen:
            features = cached_features(cache, model, photos, mirror=mirror)
        np.testing.assert_allclose(features[0, 0], encoded(model, photos[0]), **CLOSE)
        return sum(seen)

    assert computed(model, photos) == 11
    assert computed(tiny_model(seed=1), photos) == 11
    assert computed(tiny_model(config=dataclasses.replace(TINY, image_size=96)), photos) == 11
    assert computed(model, photos[::-1]) == 11
    assert computed(model, photos[:5]) == 5
    assert computed(model, photos, mirror=True) == 22
    Image.new("RGB", (90, 90), "red").save(photos[0])
    assert computed(model, photos) == 11
    # The decoder has no part in it.
    assert computed(tiny_model(vocabulary_size=30), photos) == 0


def test_a_half_written_cache_is_finished(model, photos, tmp_path):
    whole = np.array(cached_features(tmp_path / "cache", model, photos, mirror=True))
    (place,) = (tmp_path / "cache").iterdir()
    missing = [0, 3, 9, 10]
    features, done = (np.load(place / name, mmap_mode="r+") for name in ("features.npy", "done.npy"))
    features[missing], done[missing] = 0, 0
    # Written, but killed before it was flagged.
    features[3] = whole[3]
    features.flush(), done.flush()
    with counted(model.encoder) as seen:
        finished = cached_features(tmp_path / "cache", model, photos, mirror=True)
    assert sum(seen) == 2 * len(missing)
    np.testing.assert_allclose(finished, whole, **CLOSE)
    assert np.load(place / "done.npy").all()


def test_a_cache_killed_while_it_is_made_is_made_again(model, photos, tmp_path):
    whole = np.array(cached_features(tmp_path / "cache", model, photos, mirror=False))
    (place,) = (tmp_path / "cache").iterdir()
    (place / "done.npy").unlink()
    (place / "features.npy").write_bytes(b"\x93NUMPY")
    np.testing.assert_array_equal(cached_features(tmp_path / "cache", model, photos, mirror=False), whole)


@pytest.mark.slow
def test_a_run_that_is_killed_is_continued(model, tmp_path):
    photos = make_photos(tmp_path / "photos", [f"{number}.png" for number in range(200)])
    program = (
        "import sys, pathlib; from captioning.data.features import cached_features; "
        "from tests.helpers import tiny_model; "
        "cached_features(pathlib.Path(sys.argv[1]), tiny_model(), [*map(pathlib.Path, sys.argv[2:])], mirror=True)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache"), *map(str, photos)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not any(np.load(path).any() for path in tmp_path.glob("cache/*/done.npy")):
            time.sleep(0.001)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    (place,) = (tmp_path / "cache").iterdir()
    missing = int((np.load(place / "done.npy") == 0).sum())
    assert 0 < missing < len(photos)
    with counted(model.encoder) as seen:
        finished = cached_features(tmp_path / "cache", model, photos, mirror=True)
    assert sum(seen) == 2 * missing
    np.testing.assert_allclose(finished, cached_features(tmp_path / "other", model, photos, mirror=True), **CLOSE)


def test_a_cache_that_cannot_be_written_is_refused(model, photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with refused(DatasetError, str(tmp_path / "file"), "--cache"):
        cached_features(tmp_path / "file", model, photos, mirror=False)


def test_a_photo_that_cannot_be_read_stops_the_run_by_its_name(model, photos, tmp_path):
    photos[4].write_text("no photo")
    with refused(ImageError, photos[4].name):
        cached_features(tmp_path / "cache", model, photos, mirror=False)
