"""What training sees of an encoder in int8 is what ONNX Runtime computes with."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from captioning.graph_check.model import ENCODER_INPUTS, ENCODER_OUTPUTS
from captioning.images import open_image, to_pixels
from captioning.inference.onnx_backend import open_session
from captioning.model.graphs import export_graphs
from captioning.model.model import CaptioningModel, load_model
from captioning.training.encoder_quantization import quantize_encoder
from captioning.training.fake_quantization import FakeQuantized, round_activations, round_weights
from tests.browser import ROOT

# Its weights were trained without rounding, and lose by it.
FLOAT_TRAINED = ROOT / "checkpoints" / "flickr8k-efficientnet-lite2.safetensors"


@pytest.fixture(scope="module")
def model() -> CaptioningModel:
    return load_model(FLOAT_TRAINED)[0]


@pytest.fixture(scope="module")
def pixels(model, photos) -> np.ndarray:
    files = sorted(photos.glob("*.jpg"))[:8]
    return np.stack([to_pixels(open_image(file), model.config.image_size) for file in files])


@pytest.fixture(scope="module")
def int8(model, pixels) -> onnx.ModelProto:
    # In a process of its own: one whose sessions share a pool of threads cannot quantize.
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(quantize_encoder, export_graphs(model)["encoder"], pixels).result()


@pytest.mark.slow
def test_features_are_nearer_to_those_of_int8_than_to_those_of_float32(model, pixels, int8):
    session = open_session(int8.SerializeToString(), {})
    ran = np.stack([session.run(ENCODER_OUTPUTS[:1], {ENCODER_INPUTS[0]: photo[None]})[0] for photo in pixels])
    with torch.no_grad():
        exact, seen = (
            model.decoder.start(encoder(torch.from_numpy(pixels)), rows=1)[0].features.numpy().reshape(ran.shape)
            for encoder in (model.encoder, FakeQuantized(model.encoder))
        )
    assert np.linalg.norm(seen - ran) < 0.4 * np.linalg.norm(exact - ran)


def test_weights_are_those_of_the_graph(model, int8):
    stem = model.encoder.backbone.conv_stem.weight.detach()
    scales = stem.abs().flatten(1).amax(dim=1) / 64
    seen = (round_weights(stem) / scales.view(-1, 1, 1, 1)).round().numpy()
    kernels = [numpy_helper.to_array(tensor) for tensor in int8.graph.initializer]
    [ran] = [kernel for kernel in kernels if kernel.dtype == np.int8 and kernel.shape == stem.shape]
    # Scales of pixels and of batch norm are folded in there, which may turn a channel's sign. ONNX Runtime gives those
    # that are next to nothing a larger scale, for their bias.
    used = np.abs(ran).max(axis=(1, 2, 3)) == 64
    assert used.mean() > 0.7
    assert (np.abs(ran[used].astype(np.float32)) == np.abs(seen[used])).mean() > 0.99


def test_activations_have_256_levels_one_of_which_is_zero():
    values = torch.linspace(-1.0, 3.0, 10_001)
    rounded = round_activations(values)
    assert len(rounded.unique()) == 256
    assert 0 in rounded
    assert (rounded - values).abs().max() <= 4 / 255
    assert torch.equal(round_activations(torch.zeros(5)), torch.zeros(5))


def test_training_reaches_the_weights_behind_the_rounding(model, pixels):
    model.encoder.unfreeze([0])
    FakeQuantized(model.encoder)(torch.from_numpy(pixels[:2])).square().mean().backward()
    model.encoder.freeze()
    gradient = model.encoder.backbone.conv_stem.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
