"""Checkpoints of the tutorial: what is imported computes the tutorial's equations, and a hostile file runs nothing."""

import json
import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import captioning
from captioning import Captioner, CheckpointError
from captioning.__main__ import main
from captioning.inference.torch_backend import TorchBackend
from captioning.model.model import load_model
from captioning.model.tutorial import import_tutorial
from captioning.training.flags import read_settings
from tests.browser import ROOT
from tests.helpers import refused
from tests.page import captions_of, errors

WORDS = "a dog runs on the grass red ball".split()
SIZE, EMBEDDED, ATTENDED = 24, 16, 20
WORD_MAP = {
    **{word: index for index, word in enumerate(WORDS, start=1)},
    **{token: len(WORDS) + index for index, token in enumerate(("<unk>", "<start>", "<end>"), start=1)},
    "<pad>": 0,
}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc_image_size = 14
        self.resnet = nn.Sequential(*list(torchvision.models.resnet101().children())[:-2])
        self.adaptive_pool = nn.AdaptiveAvgPool2d((14, 14))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder_att, self.decoder_att = nn.Linear(2048, ATTENDED), nn.Linear(SIZE, ATTENDED)
        self.full_att, self.relu, self.softmax = nn.Linear(ATTENDED, 1), nn.ReLU(), nn.Softmax(dim=1)


class DecoderWithAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.embedding = Attention(), nn.Embedding(len(WORD_MAP), EMBEDDED)
        self.dropout, self.decode_step = nn.Dropout(0.5), nn.LSTMCell(EMBEDDED + 2048, SIZE)
        self.init_h, self.init_c, self.f_beta = nn.Linear(2048, SIZE), nn.Linear(2048, SIZE), nn.Linear(SIZE, 2048)
        self.sigmoid, self.fc = nn.Sigmoid(), nn.Linear(SIZE, len(WORD_MAP))


@torch.inference_mode()
def computed(encoder: Encoder, decoder: DecoderWithAttention, pixels: np.ndarray, words: list[str]):
    """Attention (T, 196) and log-probabilities (T, V) while the words are read, by the tutorial's equations."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    grid = encoder.adaptive_pool(encoder.resnet((torch.from_numpy(pixels)[None] / 255 - mean) / std))
    cells = grid[0].flatten(1).T
    state = tuple(layer(cells.mean(0, keepdim=True)) for layer in (decoder.init_h, decoder.init_c))
    found = []
    for word in words:
        attention = decoder.attention
        energy = torch.relu(attention.encoder_att(cells) + attention.decoder_att(state[0]))
        weights = torch.softmax(attention.full_att(energy)[:, 0], 0)
        context = torch.sigmoid(decoder.f_beta(state[0])) * (weights @ cells)
        read = decoder.embedding(torch.tensor([WORD_MAP[word]]))
        state = decoder.decode_step(torch.cat([read, context], 1), state)
        found.append((weights.numpy(), decoder.fc(state[0])[0].log_softmax(0).numpy()))
    return map(np.stack, zip(*found, strict=True))


@pytest.fixture(scope="session")
def modules() -> Iterator[dict]:
    """What the tutorial saves, its classes in a module `models`; weights are those that float16 holds."""
    home = ModuleType("models")
    for kind in (Encoder, Attention, DecoderWithAttention):
        setattr(home, kind.__name__, kind)
        kind.__module__ = "models"
    sys.modules["models"] = home
    torch.manual_seed(0)
    encoder, decoder = Encoder(), DecoderWithAttention()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.3)
        for parameter in (*encoder.parameters(), *decoder.parameters()):
            parameter.copy_(parameter.half().float())
    optimizer = torch.optim.Adam(decoder.parameters())
    decoder.fc(torch.ones(1, SIZE)).sum().backward()
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    optimizer.step()
    decoder.load_state_dict(before)
    parts = {"encoder": encoder.eval(), "decoder": decoder.eval()}
    yield {"epoch": 3, "bleu-4": 0.2, **parts, "encoder_optimizer": None, "decoder_optimizer": optimizer}
    del sys.modules["models"]


@pytest.fixture(scope="session", params=[True, False], ids=["zip", "legacy"])
def saved(request, modules, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tutorial") / "BEST_checkpoint_flickr8k.pth.tar"
    torch.save(modules, path, _use_new_zipfile_serialization=request.param)
    path.with_name("WORDMAP.json").write_text(json.dumps(WORD_MAP))
    return path


@pytest.fixture(scope="session")
def imported(saved) -> Path:
    output = saved.with_name("imported.safetensors")
    arguments = [saved, saved.with_name("WORDMAP.json"), "-o", output]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["captioning", "import", *map(str, arguments)])
        assert main() == 0
    return output


@pytest.mark.slow
def test_an_imported_model_computes_what_the_tutorial_does(modules, imported, photos):
    captioner = Captioner.from_checkpoint(imported, "cpu")
    assert captioner.info.vocabulary.words == ["<pad>", "<start>", "<end>", "<unk>", *WORDS]
    # The preset is this architecture, of other sizes.
    preset = read_settings(["--data", "photos", "--config", str(ROOT / "configs/resnet101-relu-14x14.toml")], "").model
    sizes = {"embedding_size": EMBEDDED, "attention_size": ATTENDED, "decoder_size": SIZE}
    assert captioner.info.config == replace(preset, **sizes)
    assert preset.image_size == 256
    pixels = captioner.pixels(captioning.open_image(photos / "pizza.jpg"))
    read = ["<start>", *WORDS[:5]]
    attention, expected = computed(modules["encoder"], modules["decoder"], pixels, read)
    ids = captioner.info.vocabulary.encode(read[1:])[:-1]
    for backend in (captioner.backend, TorchBackend(load_model(imported)[0])):
        [photo] = backend.encode(pixels[None])
        state, row = photo.state, np.zeros(1, np.int64)
        for step, token in enumerate(ids):
            wanted = np.arange(len(WORD_MAP))[None]
            found = backend.step([photo], [state], [row], [np.array([token])], [wanted], 1)
            [state] = found.states
            np.testing.assert_allclose(found.attention[0], attention[step], atol=1e-4)
            said = [place for place in range(len(WORD_MAP)) if np.isfinite(found.wanted[0, place])]
            ours = found.wanted[0, said]
            theirs = expected[step, [WORD_MAP[captioner.info.vocabulary.words[place]] for place in said]]
            # Theirs are over all words, ours over those that a caption may say.
            np.testing.assert_allclose(ours, theirs - np.log(np.exp(theirs).sum()), atol=2e-3)


@pytest.mark.slow
def test_an_imported_model_captions_a_photo_and_does_so_in_the_app(imported, photos, start, monkeypatch):
    caption = Captioner.from_checkpoint(imported, "cpu")(photos / "pizza.jpg")
    assert set(caption.text.split()) <= set(WORDS)
    assert caption.steps[0].attention.shape == (14, 14)
    monkeypatch.setattr(captioning, "CHECKPOINT_FOLDER", imported.parent)
    app = start(checkpoint=imported.name)
    assert not errors(app)
    [said] = captions_of(app)
    assert said
    assert set(said.split()) <= set(WORDS)


class _Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def truncated(path: Path) -> None:
    torch.save({"encoder": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.hostile
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("call", [os.system, print, eval], ids=["os.system", "print", "eval"])
def test_a_pickle_that_calls_something_runs_nothing(call, zipped, tmp_path, capfd):
    path, ran = tmp_path / "hostile.pth.tar", tmp_path / "ran"
    argument = f"__import__('pathlib').Path({str(ran)!r}).touch()" if call is eval else f"touch {ran}"
    torch.save({"encoder": _Call(call, argument)}, path, _use_new_zipfile_serialization=zipped)
    (tmp_path / "words.json").write_text(json.dumps(WORD_MAP))
    with refused(CheckpointError, "hostile.pth.tar"):
        import_tutorial(path, tmp_path / "words.json")
    assert not ran.exists()
    assert capfd.readouterr().out == ""


# Sets attributes of what stands for a name, and then gives PyTorch a source that differs from its own: it writes a file
# of the differences, named by the attributes, for a class that has `dump_patches`.
PATCHED = """\x80\x02c{name}
(Vdump_patches
I01
V__name__
Vowned
db0(Vmodule
c{name}
Vfile.py
Vno source
tQ."""


@pytest.mark.hostile
@pytest.mark.parametrize(
    "name",
    [
        "collections\ndefaultdict",
        "collections\nOrderedDict",
        "torch._utils\n_rebuild_tensor_v2",
        "models\nEncoder",
        "torch.nn.modules.linear\nLinear",
    ],
)
def test_a_source_of_a_class_writes_nothing(name, tmp_path, monkeypatch):
    serialization = torch.serialization
    parts = [serialization.MAGIC_NUMBER, serialization.PROTOCOL_VERSION, {"little_endian": True}]
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    check_that_it_runs_nothing(head + PATCHED.format(name=name).encode("latin-1"), tmp_path, monkeypatch)


@pytest.mark.hostile
def test_a_plain_pickle_runs_nothing(tmp_path, monkeypatch):
    check_that_it_runs_nothing(pickle.dumps(_Call(os.system, "touch ran")), tmp_path, monkeypatch)


def check_that_it_runs_nothing(content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "words.json").write_text(json.dumps(WORD_MAP))
    (folder / "hostile.pth.tar").write_bytes(content)
    with refused(CheckpointError, "hostile.pth.tar"):
        import_tutorial(folder / "hostile.pth.tar", folder / "words.json")
    assert sorted(each.name for each in folder.iterdir()) == ["hostile.pth.tar", "words.json"]


@pytest.mark.parametrize(
    "write",
    [
        truncated,
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"epoch": 1}, path),
        lambda path: torch.save({"encoder": torch.zeros(3), "decoder": {}}, path),
        lambda path: torch.save([1, 2], path),
    ],
    ids=["truncated", "empty", "no modules", "no module", "a list"],
)
def test_what_is_no_checkpoint_of_the_tutorial_is_refused(write, tmp_path):
    path, word_map = tmp_path / "x.pth.tar", tmp_path / "words.json"
    word_map.write_text(json.dumps(WORD_MAP))
    write(path)
    with refused(CheckpointError, "x.pth.tar"):
        import_tutorial(path, word_map)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[1]",
        json.dumps({**WORD_MAP, "more": 99}).encode(),
        json.dumps({word: index for word, index in WORD_MAP.items() if word != "<end>"}).encode(),
    ],
    ids=["no JSON", "a list", "a gap", "no end"],
)
def test_what_is_no_word_map_is_refused(content, tmp_path):
    (tmp_path / "words.json").write_bytes(content)
    with refused(CheckpointError, "words.json"):
        import_tutorial(tmp_path / "x.pth.tar", tmp_path / "words.json")


@pytest.mark.slow
def test_modules_of_other_shapes_and_words_are_refused(saved, tmp_path, modules):
    fewer = {**{word: index for index, word in enumerate(["one", "<unk>", "<start>", "<end>"], start=1)}, "<pad>": 0}
    (tmp_path / "words.json").write_text(json.dumps(fewer))
    with refused(CheckpointError, saved.name, "12 words", "5"):
        import_tutorial(saved, tmp_path / "words.json")
    torch.save({**modules, "encoder": modules["decoder"]}, tmp_path / "x.pth.tar")
    with refused(CheckpointError, "x.pth.tar"):
        import_tutorial(tmp_path / "x.pth.tar", saved.with_name("WORDMAP.json"))
