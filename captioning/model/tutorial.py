"""Checkpoints of sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning, read without running what a pickle asks for.

Such a file is a pickle of whole modules, beside it lies its word map. It is read with inert stand-ins in the modules'
place, from which the tensors are taken.
"""

import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tarfile import is_tarfile
from types import ModuleType
from typing import Any, BinaryIO

import torch

from captioning.config import ModelConfig
from captioning.errors import CheckpointError, shown
from captioning.model.model import CaptioningModel
from captioning.vocabulary import SPECIAL_TOKENS, Vocabulary

IMAGE_SIZE = 256
# The ResNet stands in the file as a list of its parts.
ENCODER_PARTS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
DECODER_PARTS = {
    "attention.encoder_att": "attention.project_features",
    "attention.decoder_att": "attention.project_hidden",
    "attention.full_att": "attention.score",
    "embedding": "embedding",
    "decode_step": "lstm",
    "init_h": "initial_hidden",
    "init_c": "initial_cell",
    "f_beta": "gate",
    "fc": "output",
}
ZIP = b"PK\x03\x04"


class _Inert:
    """What stands in the place of a module or an optimizer: its attributes, and nothing that runs."""

    # PyTorch asks it of the classes in files of the older format.
    dump_patches = False

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)


def _empty(*_: object) -> dict:
    return {}


# The names that such a file's pickle holds, besides those of tensors.
STAND_INS: dict[str, Any] = {
    **{
        f"{home}.{name}": _Inert
        for home in ("models", "__main__")
        for name in "Encoder Attention DecoderWithAttention".split()
    },
    **{
        f"torch.nn.modules.{name}": _Inert
        for name in "activation.ReLU activation.Sigmoid activation.Softmax batchnorm.BatchNorm2d container.Sequential "
        "conv.Conv2d dropout.Dropout linear.Linear pooling.AdaptiveAvgPool2d pooling.MaxPool2d rnn.LSTMCell "
        "sparse.Embedding".split()
    },
    "torch.nn.backends.thnn._get_thnn_function_backend": _Inert,
    "torch.optim.adam.Adam": _Inert,
    "torchvision.models.resnet.Bottleneck": _Inert,
    "collections.defaultdict": _empty,
    "builtins.dict": dict,
}
# In the older format, which PyTorch's own reader of weights refuses where whole modules are in it. Functions are not
# given themselves, for a pickle could set their attributes: PyTorch writes a file named by those of a class there.
CONTAINERS = {"collections.OrderedDict": dict, "builtins.set": set, "collections.defaultdict": partial(_empty)}
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter")


class _Unpickler(pickle.Unpickler):
    """Gives stand-ins and tensors, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        # Pickles that Python 2 can read too have its name of the module.
        path = f"{module.replace('__builtin__', 'builtins')}.{name}"
        known = STAND_INS | CONTAINERS
        if path in TENSORS:
            return partial(super().find_class(module, name))
        if path not in known:
            raise pickle.UnpicklingError(f"it names {path}")
        return known[path]


def import_tutorial(path: Path, word_map: Path) -> tuple[CaptioningModel, Vocabulary]:
    """The model of a tutorial's checkpoint, in evaluation mode, and its words in this project's order.

    Args:
        path: of a `BEST_checkpoint_….pth.tar`, in either of PyTorch's formats.
        word_map: its `WORDMAP_….json`.

    Raises:
        CheckpointError: a file cannot be read, is damaged, holds more than such files do, or does not fit the other.
    """
    words, order = _read_word_map(word_map)
    content = _read_pickle(path)
    try:
        encoder, decoder = content["encoder"], content["decoder"]
        tensors = {
            **_renamed("encoder.backbone", "resnet", dict(_tensors(encoder, set())), ENCODER_PARTS),
            **_renamed("decoder", "", dict(_tensors(decoder, set())), DECODER_PARTS),
        }
        embedding = tensors["decoder.embedding.weight"]
        attention = tensors["decoder.attention.project_hidden.weight"]
        config = ModelConfig(
            encoder="resnet101.tv_in1k",
            image_size=IMAGE_SIZE,
            grid_size=encoder.enc_image_size,
            embedding_size=embedding.shape[1],
            attention_size=attention.shape[0],
            attention_activation="relu",
            initial_activation="linear",
            decoder_size=attention.shape[1],
            dropout=decoder._modules["dropout"].p,
        )
        if len(embedding) != len(words):
            raise _unusable(path, f"it has {len(embedding):,} words and {shown(word_map.name)} {len(words):,}")
        for name in ("embedding.weight", "output.weight", "output.bias"):
            tensors[f"decoder.{name}"] = tensors[f"decoder.{name}"][order]
        model = CaptioningModel(config, len(words))
        counts = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")}
        model.load_state_dict({**counts, **tensors})
    except (AttributeError, IndexError, KeyError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        raise _unusable(path, f"it does not hold that ResNet-101 and decoder ({type(error).__name__})") from None
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise _unusable(path, "its weights are not all finite numbers")
    return model.eval(), words


def _read_word_map(path: Path) -> tuple[Vocabulary, list[int]]:
    """The words, special tokens first and the others by their ids, and the row that each has in the file."""
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
        if sorted(ids.values()) != list(range(len(ids))):
            raise ValueError("its ids are not 0, 1, 2 …")
        others = sorted(ids.keys() - set(SPECIAL_TOKENS), key=ids.__getitem__)
        words = [*SPECIAL_TOKENS, *others]
        return Vocabulary(words), [ids[word] for word in words]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): name the word map, WORDMAP_….json.") from None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{shown(path.name)} is not the word map of such a checkpoint ({shown(error)}): name its WORDMAP_….json."
        ) from None


def _read_pickle(path: Path) -> Any:
    """What the file holds, with stand-ins for modules."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # It warns that the classes' sources are others than in the file.
            warnings.simplefilter("ignore")
            return _load(file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): name the checkpoint.") from None
    except Exception as error:  # What a damaged file raises has no common class.
        raise _unusable(
            path, f"it is truncated, or holds more than modules and tensors ({type(error).__name__})"
        ) from None


def _load(file: BinaryIO) -> Any:
    zipped = file.read(len(ZIP)) == ZIP
    file.seek(0)
    if zipped:
        with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in STAND_INS.items()]):
            return torch.load(file, map_location="cpu", weights_only=True)
    # PyTorch would extract an archive of its oldest format.
    if is_tarfile(file):
        raise ValueError("a tar archive")
    file.seek(0)
    # PyTorch asks for a module.
    reader = ModuleType("reader")
    reader.__dict__.update(Unpickler=_Unpickler, load=lambda source, **options: _Unpickler(source, **options).load())
    return torch.load(file, map_location="cpu", pickle_module=reader, weights_only=False)


def _tensors(module: Any, seen: set[int], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers of a stand-in and those in it, by their names; each stands in one place."""
    if id(module) in seen:
        raise ValueError("a module stands in two places")
    seen.add(id(module))
    for name, tensor in {**module._parameters, **module._buffers}.items():
        # A layer without a bias has None in its place.
        if tensor is not None:
            yield f"{prefix}{name}", tensor.detach()
    for name, child in module._modules.items():
        yield from _tensors(child, seen, f"{prefix}{name}.")


def _renamed(
    home: str, root: str, tensors: Mapping[str, torch.Tensor], parts: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Tensors by their names here; what belongs to none of the parts is a KeyError."""
    renamed = {}
    for name, tensor in tensors.items():
        inner = name.removeprefix(f"{root}.") if root else name
        part = next(part for part in (*parts, inner) if inner.startswith(f"{part}.") or part == inner)
        renamed[f"{home}.{parts[part]}{inner.removeprefix(part)}"] = tensor
    return renamed


def _unusable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{shown(path.name)} is not a usable checkpoint of the tutorial, {reason}: name its BEST_checkpoint_….pth.tar."
    )
