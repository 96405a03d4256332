"""Encoder, attention and decoder: what holds for any weights, and what the reference's sizes are."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from captioning.config import MAX_SIZE, ModelConfig
from captioning.errors import CheckpointError
from captioning.images import open_image, to_pixels
from captioning.model.encoder import PACKAGED_WEIGHTS, ImageEncoder
from captioning.model.model import CaptioningModel
from tests.conftest import ROOT
from tests.helpers import TINY, random_decoder, refused, tiny_model

CHANNELS, CELLS, WORDS = 6, 4, 20

# Three photos of two captions each, in order of falling length; the last has one caption only.
CAPTIONS = torch.tensor(
    [
        [[1, 7, 8, 9, 10, 2], [1, 5, 2, 0, 0, 0]],
        [[1, 4, 2, 0, 0, 0], [1, 6, 11, 2, 0, 0]],
        [[1, 12, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]],
    ]
)


def random_pixels(count: int, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(1))


@pytest.fixture
def decoder():
    return random_decoder(WORDS)


@pytest.fixture
def features():
    return torch.randn(len(CAPTIONS), CELLS, CHANNELS, generator=torch.manual_seed(2))


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("neck_size", [None, 5])
@torch.inference_mode()
def test_teacher_forcing_gives_what_calling_step_by_hand_gives(features, neck_size):
    decoder = random_decoder(WORDS, neck_size=neck_size)
    hidden, attention = decoder(features, CAPTIONS)
    logits = decoder.predict(hidden)
    assert logits.shape == (3, 2, 5, WORDS)
    assert attention.shape == (3, 2, 5, CELLS)
    for photo in range(3):
        memory, state = decoder.start(features[photo : photo + 1], 2)
        steps = int((CAPTIONS[photo, :, 1:] != 0).any(dim=0).sum())
        for step in range(steps):
            attended = decoder.attend(memory, state)
            state = decoder.advance(attended, CAPTIONS[photo : photo + 1, :, step])
            assert_close(logits[photo, :, step], decoder.predict(state.hidden)[0])
            assert_close(attention[photo, :, step], attended.attention[0])
        assert not hidden[photo, :, steps:].any()
        assert not attention[photo, :, steps:].any()


@torch.inference_mode()
def test_every_row_of_attention_weights_sums_to_1(decoder, features):
    _, attention = decoder(features, CAPTIONS)
    alive = (CAPTIONS[:, :, 1:] != 0).any(dim=1)
    sums = attention.sum(dim=-1).transpose(1, 2)
    assert (attention >= 0).all()
    assert_close(sums[alive], torch.ones_like(sums[alive]))


@torch.inference_mode()
def test_a_batch_of_captions_gives_what_its_members_give_alone(decoder, features):
    together, _ = decoder(features, CAPTIONS)
    for photo in range(3):
        for row in range(2):
            length = int((CAPTIONS[photo, row, 1:] != 0).sum())
            if length:
                caption = CAPTIONS[photo, row, : length + 1]
                alone, _ = decoder(features[photo].unsqueeze(0), caption.view(1, 1, -1))
                assert_close(together[photo, row, :length], alone[0, 0])


@torch.inference_mode()
def test_what_stands_after_a_caption_influences_nothing_before(decoder, features):
    expected, _ = decoder(features, CAPTIONS)
    longer = nn.functional.pad(CAPTIONS, (0, 3))
    hidden, attention = decoder(features, longer)
    assert hidden.shape[2] == attention.shape[2] == 8
    assert_close(hidden[:, :, :5], expected)
    changed = CAPTIONS.clone()
    changed[0, 1, 3:] = 13
    hidden, _ = decoder(features, changed)
    assert_close(hidden[0, 0], expected[0, 0])
    assert_close(hidden[0, 1, :3], expected[0, 1, :3])
    assert_close(hidden[1:], expected[1:])


def test_dropout_is_at_work_in_training_alone(decoder, features):
    with torch.no_grad():
        assert torch.equal(decoder(features, CAPTIONS)[0], decoder(features, CAPTIONS)[0])
        decoder.train()
        assert not torch.equal(decoder(features, CAPTIONS)[0], decoder(features, CAPTIONS)[0])
        hidden = torch.randn(4, decoder.output.in_features)
        assert not torch.equal(decoder.predict(hidden), decoder.predict(hidden))


@torch.inference_mode()
def test_without_teacher_forcing_the_decoder_reads_its_own_words(decoder, features):
    hidden, _ = decoder(features, CAPTIONS, teacher_forcing=0.0)
    memory, state = decoder.start(features, 2)
    tokens = CAPTIONS[:, :, 0]
    for step in range(CAPTIONS.shape[2] - 1):
        state = decoder.advance(decoder.attend(memory, state), tokens)
        tokens = decoder.predict(state.hidden).argmax(dim=-1)
        alive = (CAPTIONS[:, :, step + 1] != 0).any(dim=1)
        assert_close(hidden[alive, :, step], state.hidden[alive])


@torch.inference_mode()
def test_teacher_forcing_in_part_reads_some_words_of_both(decoder, features):
    torch.manual_seed(0)
    always, half, never = (decoder(features, CAPTIONS, teacher_forcing=share)[0] for share in (1.0, 0.5, 0.0))
    assert not torch.equal(half, always)
    assert not torch.equal(half, never)
    assert_close(half[:, :, 0], always[:, :, 0])


def test_the_loss_of_every_word_reaches_every_weight(decoder, features):
    hidden, attention = decoder.train()(features, CAPTIONS)
    (decoder.predict(hidden).square().sum() + attention.square().sum()).backward()
    for name, parameter in decoder.named_parameters():
        # The score's bias shifts all cells alike, and softmax takes it out.
        if name != "attention.score.bias":
            assert parameter.grad.abs().sum() > 0, name


@torch.inference_mode()
def test_a_batch_of_photos_gives_what_its_members_give_alone():
    encoder = tiny_model().encoder
    pixels = random_pixels(5)
    together = encoder(pixels)
    assert together.shape == (5, encoder.grid[0] * encoder.grid[1], encoder.channels)
    for photo, grid in zip(pixels, together, strict=True):
        assert_close(encoder(photo.unsqueeze(0))[0], grid)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "side", "channels"),
    [
        ("resnet18", 7, 512),
        ("vit_tiny_patch16_224", 14, 192),
        ("swin_tiny_patch4_window7_224", 7, 768),
        ("gcvit_xxtiny", 7, 512),
        ("convnext_atto", 7, 320),
        ("tf_efficientnet_lite0", 7, 1280),
    ],
)
def test_any_backbone_gives_its_grid_row_by_row_and_can_be_trained(name, side, channels):
    encoder = ImageEncoder(name, 224)
    assert (encoder.grid, encoder.channels) == ((side, side), channels)
    pixels = random_pixels(1, 224)
    mean, std = (torch.tensor(encoder.backbone.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    scaled = (pixels / 255 - mean) / std
    with torch.no_grad():
        grid, features = encoder(pixels), encoder.backbone.forward_features(scaled)
    if features.ndim == 3:
        expected = features[:, -side * side :]
    else:
        channels_first = features if features.shape[1] == channels else features.permute(0, 3, 1, 2)
        expected = torch.stack([channels_first[:, :, row, column] for row in range(side) for column in range(side)], 1)
    assert_close(grid, expected)
    encoder.unfreeze(range(encoder.block_count))
    encoder.train()(pixels).square().sum().backward()
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert sum(parameter.grad is not None for parameter in encoder.parameters()) > 10


def test_exactly_the_chosen_blocks_are_trained():
    encoder = tiny_model().encoder
    parameters = dict(encoder.backbone.named_parameters())
    trained = {}
    for block in range(encoder.block_count):
        encoder.unfreeze([block])
        trained[block] = {name for name, parameter in parameters.items() if parameter.requires_grad}
        assert trained[block]
    assert sum(map(len, trained.values())) == len(parameters)
    assert set.union(*trained.values()) == set(parameters)
    assert "conv_stem.weight" in trained[0]
    assert "conv_head.weight" in trained[encoder.block_count - 1]
    encoder.unfreeze([1, 3])
    assert {name for name, parameter in parameters.items() if parameter.requires_grad} == trained[1] | trained[3]
    encoder.freeze()
    assert not any(parameter.requires_grad for parameter in parameters.values())
    with pytest.raises(ValueError, match="blocks 0 to"):
        encoder.unfreeze([encoder.block_count])


def test_a_resnet_has_its_stem_and_four_blocks():
    with torch.device("meta"):
        assert ImageEncoder("resnet18", 224).block_count == 5


def test_training_leaves_what_is_frozen_and_all_batch_norm_statistics_as_they_are():
    model = tiny_model(WORDS)
    pixels = random_pixels(3)
    last = model.encoder.block_count - 1
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}

    def train_once() -> set[str]:
        model.train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
        hidden, _ = model.decoder(model.encoder(pixels), CAPTIONS)
        model.decoder.predict(hidden).square().mean().backward()
        optimizer.step()
        return {name for name, tensor in model.encoder.state_dict().items() if not torch.equal(tensor, before[name])}

    with torch.no_grad():
        features = model.eval().encoder(pixels)
        assert torch.equal(model.train().encoder(pixels), features)
    assert train_once() == set()
    model.encoder.unfreeze([last])
    trained = {f"backbone.{name}" for name, p in model.encoder.backbone.named_parameters() if p.requires_grad}
    assert trained
    assert train_once() == trained


def test_the_defaults_are_the_references():
    config = ModelConfig()
    with torch.device("meta"):
        model = CaptioningModel(config, 2633)
    assert (model.encoder.grid, model.encoder.channels) == ((7, 7), 2048)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.decoder.named_parameters()}
    assert shapes["embedding.weight"] == (2633, 300)
    assert shapes["attention.project_features.weight"] == (512, 2048)
    assert shapes["attention.project_hidden.weight"] == (512, 512)
    assert shapes["lstm.weight_ih"] == (4 * 512, 300 + 2048)
    assert shapes["lstm.weight_hh"] == (4 * 512, 512)
    assert shapes["output.weight"] == (2633, 512)
    assert model.decoder.dropout.p == 0.5


@pytest.mark.parametrize("field", ["image_size", "neck_size", "embedding_size", "attention_size", "decoder_size"])
@pytest.mark.parametrize("value", [0, -1, MAX_SIZE + 1, 10**30, 1.5, "64", True, [64]])
def test_a_size_that_is_no_sensible_whole_number_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        replace(TINY, **{field: value})


@pytest.mark.parametrize("value", [-0.1, 1, 2.0, "0.5", None, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(value):
    for field in ("dropout", "feature_dropout"):
        with pytest.raises(ValueError, match=field):
            replace(TINY, **{field: value})


@pytest.mark.parametrize("name", ["resnet1001", "", "../resnet18", "hf-hub:someone/something"])
def test_an_unknown_backbone_is_refused_by_its_name(name):
    with refused(CheckpointError, repr(name)):
        ImageEncoder(name, 64)


@pytest.mark.parametrize(
    ("name", "size"),
    [("vit_tiny_patch16_224", 64), ("inception_next_atto", 224), ("volo_d1_224", 224), ("caformer_s18", 224)],
    ids=["wrong size", "needs its pooling", "no grid", "no blocks"],
)
def test_a_backbone_that_gives_no_grid_is_refused_by_its_name(name, size):
    with torch.device("meta"), refused(CheckpointError, name):
        ImageEncoder(name, size)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
@torch.inference_mode()
def test_packaged_weights_are_imagenets(photos, name):
    encoder = ImageEncoder(name, 224, pretrained=True).eval()
    module_name, class_name = PACKAGED_WEIGHTS[name]
    package = pytest.importorskip(module_name)
    weights = torch.load(getattr(package, class_name).get_model_file_path(), weights_only=True)
    pixels = np.stack([to_pixels(open_image(photos / photo), 224) for photo in ("chelsea.jpg", "coffee.jpg")])
    pooled = encoder(torch.from_numpy(pixels)).mean(dim=1)
    scores = pooled @ weights["_fc.weight"].T + weights["_fc.bias"]
    # Egyptian cat and espresso.
    assert scores.argmax(dim=1).tolist() == [285, 967]


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True])
def test_weights_of_a_hub_that_cannot_be_reached_are_refused_at_the_first_try(tmp_path, silent):
    """Where nobody listens, and where a connection is taken and nothing said, as on many a closed network."""
    script = "from captioning.model.encoder import ImageEncoder; ImageEncoder('resnet18', 64, pretrained=True)"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not silent:
            server.close()
        offline = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=os.environ | offline, capture_output=True, text=True
        )
    said = run.stdout + run.stderr
    assert "CheckpointError: The ImageNet weights of resnet18 cannot be loaded (ConnectionError): connect to" in said
    # The hub's library says so of every further try.
    assert "retry" not in said.lower()
