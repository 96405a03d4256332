"""What mattered for each word, with the real checkpoint on real photos."""

import json

import numpy as np
import psutil
import pytest
from PIL import Image

from captioning import Captioner, hide, open_image
from captioning.__main__ import main
from captioning.inference.probing import SIDE, Occlusion, hide_place, probe, score_words
from captioning.inference.runtime import ONNX_RUNTIME, PYTORCH, Runtime, open_backend
from captioning.rank_correlation import rank_correlation
from captioning.visualize.overlay import occlusion_map

PLACES = (0, 20, 27, 63)


@pytest.fixture(scope="module")
def photo(photos) -> Image.Image:
    return open_image(photos / "dog-at-a-hydrant.jpg")


@pytest.fixture(scope="module")
def caption(captioner, photo):
    return captioner(photo)


@pytest.fixture(scope="module")
def found(captioner, photo, caption) -> Occlusion:
    return probe(captioner, photo, caption)


def scores(captioner, caption, pixels) -> np.ndarray:
    """Log-probabilities (N, T) of the caption's words, given each of N photos."""
    tokens = captioner.info.vocabulary.encode(step.word for step in caption.steps)[1:-1]
    return score_words(captioner.backend, captioner.backend.encode(np.stack(pixels)), tokens)


def log_probabilities(caption) -> np.ndarray:
    return np.log([step.probability for step in caption.steps])


def test_nothing_hidden_changes_nothing(captioner, photo, caption):
    np.testing.assert_allclose(scores(captioner, caption, [captioner.pixels(photo)])[0], log_probabilities(caption),
                               atol=1e-4)  # fmt: skip


def test_everything_hidden_is_a_gray_photo(captioner, photo, caption):
    pixels = captioner.pixels(photo)
    for place in range(SIDE**2):
        pixels = hide_place(pixels, place)
    gray = captioner.pixels(Image.new("RGB", photo.size, (128, 128, 128)))
    assert np.array_equal(pixels, gray)
    assert np.array_equal(*scores(captioner, caption, [pixels, gray]))


@pytest.mark.parametrize("place", PLACES)
def test_a_hidden_place_is_the_rectangle_there(captioner, place):
    size = captioner.info.config.image_size
    photo = Image.radial_gradient("L").resize((size, size)).convert("RGB")
    row, column = divmod(place, SIDE)
    rectangle = (column / SIDE, row / SIDE, (column + 1) / SIDE, (row + 1) / SIDE)
    expected = captioner.pixels(hide(photo, [rectangle]))
    assert np.array_equal(hide_place(captioner.pixels(photo), place), expected)


def test_a_batch_gives_what_its_members_give_alone(captioner, photo, caption, found):
    assert found.drops.shape == (len(caption.steps), SIDE, SIDE)
    assert found.drops.dtype == np.float32
    pixels = captioner.pixels(photo)
    for place in PLACES:
        [alone] = scores(captioner, caption, [hide_place(pixels, place)])
        drops = found.drops[:, *divmod(place, SIDE)]
        np.testing.assert_allclose(drops, log_probabilities(caption) - alone, atol=1e-4)


def test_both_backends_agree(captioner, photo, caption):
    hidden = [hide_place(captioner.pixels(photo), place) for place in PLACES]
    runtimes = [Runtime(library, "cpu", "float32") for library in (ONNX_RUNTIME, PYTORCH)]
    backends = [Captioner(open_backend(captioner.info, runtime), captioner.info, runtime) for runtime in runtimes]
    np.testing.assert_allclose(*(scores(each, caption, hidden) for each in backends), atol=1e-3)


def test_what_mattered_for_the_dog_is_the_dog(caption, found):
    words = [step.word for step in caption.steps]
    row, column = np.unravel_index(found.drops[words.index("dog")].argmax(), (SIDE, SIDE))
    # Where it sits in the photo.
    assert 2 <= row <= 6
    assert 0 <= column <= 5


def test_the_agreement_is_the_mean_rank_correlation(caption, found):
    # The attention of this checkpoint has as many cells as there are places.
    each = [rank_correlation(step.attention, drops) for step, drops in zip(caption.steps, found.drops, strict=True)]
    assert found.agreement == pytest.approx(np.mean(each))
    assert -1 <= found.agreement <= 1


def ranks(values: np.ndarray) -> list[float]:
    """Places in order of size; equal values share the mean of theirs."""
    return [np.flatnonzero(np.sort(values) == value).mean() for value in values]


def test_the_rank_correlation_is_spearmans():
    """Pearson's correlation of the ranks."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        # With many equal values.
        one, other = draw.integers(0, 6, (2, 8, 8)).astype(float)
        expected = np.corrcoef(ranks(one.ravel()), ranks(other.ravel()))[0, 1]
        assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, np.ones((8, 8))) == 0


def test_memory_is_afterwards_as_before(captioner, photo, caption, found):
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(2):
        probe(captioner, photo, caption)
    assert process.memory_info().rss - before < 25 * 2**20


def test_it_is_drawn_on_one_scale_and_what_became_likelier_is_dark(found):
    most = found.drops.max()
    brightest = [int(occlusion_map(drops, most).max()) for drops in found.drops]
    # The map is smooth, so that its peak lies between two of its points.
    assert max(brightest) > 240
    assert np.argmax(brightest) == found.drops.max(axis=(1, 2)).argmax()
    assert occlusion_map(-np.abs(found.drops[0]), most).max() == 0


def test_the_command_line_writes_it(run_main, photos, tmp_path, found, caption):
    output = tmp_path / "out.json"
    call = ("export", photos / "dog-at-a-hydrant.jpg", "--look", "occlusion", "--format", "json", "-o", output)
    assert run_main(main, *call) == (0, "", "")
    said = json.loads(output.read_text())
    assert said["agreement"] == pytest.approx(found.agreement, abs=1e-3)
    drops = np.array([word["occlusion"] for word in said["words"]])
    np.testing.assert_allclose(drops, found.drops, atol=1e-3)
