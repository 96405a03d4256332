"""Folding and packing: the captioner's model computes what the model of the checkpoint does, only faster."""

import copy

import pytest
import timm
import torch
from timm.layers import Conv2dSame

from captioning import Captioner, SearchOptions, open_image
from captioning.checkpoint import load_checkpoint
from captioning.defaults import DEFAULT_CHECKPOINT
from captioning.images import to_pixels
from captioning.inference.beam_search import beam_search
from captioning.model.encoder import ImageEncoder
from captioning.model.folding import fold_batch_norm
from captioning.model.packing import pack_layers
from captioning.model.search_decoder import SearchDecoder

# Padding as TensorFlow does it, squeeze and excitation, dense connections, norm before convolution, no batch norm, none
# of both, and one that cannot be traced.
BACKBONES = [
    "tf_mobilenetv3_small_100",
    "seresnet18",
    "densenet121",
    "resnetv2_18",
    "convnext_atto",
    "vit_tiny_patch16_224",
    "mobilevit_xxs",
]


@pytest.fixture(scope="module")
def plain():
    return load_checkpoint(DEFAULT_CHECKPOINT)[0]


def spoil_statistics(model: torch.nn.Module) -> None:
    """Give every batch norm something to do; a new one leaves its input as it is."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)


@pytest.mark.parametrize("name", BACKBONES)
@torch.inference_mode()
def test_folded_and_packed_backbones_compute_the_same(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, global_pool="").eval()
    spoil_statistics(model)
    pixels = torch.randn(3, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    expected = model.forward_features(pixels)
    folded = copy.deepcopy(model)
    fold_batch_norm(folded)
    torch.testing.assert_close(folded.forward_features(pixels), expected, rtol=1e-3, atol=1e-4)
    pack_layers(folded, pixels[:1])
    assert torch.nn.Conv2d not in map(type, folded.modules())
    torch.testing.assert_close(folded.forward_features(pixels), expected, rtol=1e-3, atol=1e-4)


class Tangle(torch.nn.Module):
    """Convolutions read by an activation that runs twice, by one and something else, and by one alone."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (torch.nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.twice, self.beside, self.own = torch.nn.ReLU(), torch.nn.ReLU(), torch.nn.ReLU6()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        second = self.second(self.twice(self.first(inputs)))
        return self.own(self.third(self.twice(self.beside(second) - second)))


@torch.inference_mode()
def test_an_activation_becomes_part_of_a_convolution_only_where_it_alone_reads_it_and_nothing_else():
    torch.manual_seed(0)
    model, inputs = Tangle(), torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = model(inputs)
    pack_layers(model, inputs)
    kinds = [type(layer) for layer in (model.twice, model.beside, model.own)]
    assert kinds == [torch.nn.ReLU, torch.nn.ReLU, torch.nn.Identity]
    torch.testing.assert_close(model(inputs), expected)


@pytest.mark.parametrize("size", [(8, 8), (9, 10), (10, 9), (7, 7)])
@torch.inference_mode()
def test_a_convolution_padded_unevenly_is_packed_too(size):
    torch.manual_seed(0)
    model = torch.nn.Sequential(Conv2dSame(4, 8, (3, 5), stride=2))
    inputs = torch.randn(2, 4, *size).contiguous(memory_format=torch.channels_last)
    expected = model(inputs)
    pack_layers(model, inputs)
    assert type(model[0]) is not Conv2dSame
    torch.testing.assert_close(model(inputs), expected)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e4])
@pytest.mark.parametrize("rows", [(1,), (5,), (40,), (3, 7)])
@torch.inference_mode()
def test_linear_layers_given_few_rows_compute_with_the_weights_that_they_had(scale, rows):
    torch.manual_seed(0)
    # As a checkpoint keeps them, and as training leaves them.
    weights = (torch.randn(32, 64) * scale).half().float(), torch.randn(32, 64) * scale
    for weight in weights:
        # Without a bias, beside which the smallest weights would not count.
        layer = torch.nn.Linear(64, 32, bias=False)
        layer.weight.copy_(weight)
        model, inputs = torch.nn.Sequential(layer), torch.randn(*rows, 64)
        expected = model(inputs)
        pack_layers(model, few_rows=True)
        assert type(model[0]) is not torch.nn.Linear
        torch.testing.assert_close(model(inputs), expected, rtol=1e-5, atol=1e-5 * scale)


@torch.inference_mode()
def test_a_weight_that_is_not_finite_stays_so():
    for number in (torch.inf, torch.nan):
        model = torch.nn.Sequential(torch.nn.Linear(8, 8))
        model[0].weight[:] = number
        pack_layers(model, few_rows=True)
        assert not model(torch.ones(2, 8)).isfinite().any()


def test_nothing_is_left_of_the_real_encoders_batch_norm(captioner, plain):
    norms = torch.nn.modules.batchnorm._BatchNorm
    assert any(isinstance(module, norms) for module in plain.encoder.modules())
    assert not any(isinstance(module, norms) for module in captioner.encoder.modules())


@torch.inference_mode()
def test_captions_are_those_of_the_model_as_it_was_trained(captioner, plain, photos):
    for name in ("astronaut.png", "coffee.png", "rocket.jpg"):
        photo = open_image(photos / name)
        options = SearchOptions()
        expected = beam_search(
            SearchDecoder(plain.decoder), plain.encoder(torch.from_numpy(to_pixels(photo, 256)).unsqueeze(0)), options
        )[0]
        found = captioner(photo, options)
        vocabulary = captioner.info.vocabulary
        assert [hypothesis.text for hypothesis in found.hypotheses] == [
            " ".join(vocabulary.decode(hypothesis.tokens)) for hypothesis in expected
        ]
        assert found.log_probability == pytest.approx(expected[0].log_probability, abs=1e-3)


@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_a_captioner_of_lower_precision_sees_nearly_the_same(captioner, photos, precision, error):
    rough = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, precision=precision)
    photo = open_image(photos / "astronaut.png")
    exact, rounded = (each.encode([photo]).features for each in (captioner, rough))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).norm() < error * exact.norm()


def precisions(model: torch.nn.Module, layers: set[str]) -> set[torch.dtype]:
    weights = (getattr(model.get_submodule(layer), "weight", None) for layer in layers)
    return {weight.dtype for weight in weights if weight is not None}


# The last two join numbers of both halves, and hand several on at once.
@pytest.mark.parametrize("name", [*BACKBONES, "vgg11", "xcit_nano_12_p16_224", "hrnet_w18_small"])
@torch.inference_mode()
def test_the_later_half_of_any_backbone_settles_in_lower_precision_or_none_of_it(name):
    torch.manual_seed(0)
    encoder = ImageEncoder(name, 224).eval()
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    expected = encoder(pixels)
    half = encoder.block_count // 2
    earlier, later = (
        {name.rpartition(".")[0] for block in blocks for name in block}
        for blocks in (encoder._block_names[:half], encoder._block_names[half:])
    )
    encoder.settle(torch.bfloat16)
    found = encoder(pixels)
    assert found.dtype == (torch.float32 if name in ("xcit_nano_12_p16_224", "hrnet_w18_small") else torch.bfloat16)
    assert precisions(encoder.backbone, earlier) == {torch.float32}
    assert precisions(encoder.backbone, later) == {found.dtype}
    assert (expected - found).norm() < 0.1 * expected.norm()


def test_a_precision_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="precision is one of float32"):
        Captioner.from_checkpoint(DEFAULT_CHECKPOINT, precision="int4")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_gpu_says_what_the_cpu_says(captioner, photos, precision):
    gpu = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, "cuda", precision)
    cpu = Captioner(*load_checkpoint(DEFAULT_CHECKPOINT), "cpu")
    for name in ("astronaut.png", "coffee.png", "rocket.jpg"):
        assert gpu(photos / name).text == cpu(photos / name).text
