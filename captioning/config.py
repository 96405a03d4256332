"""The settings that a model is built from, and the precisions in which it runs."""

from dataclasses import dataclass
from typing import Any

from captioning.settings import check, setting

# In which a checkpoint can have graphs, the one to prefer first, and PyTorch's encoder can compute.
GRAPH_PRECISIONS = ("int8", "float32")
TORCH_PRECISIONS = ("float32", "float16", "bfloat16")
PRECISIONS = tuple(dict.fromkeys(GRAPH_PRECISIONS + TORCH_PRECISIONS))
# Far beyond any sensible model; it keeps a forged checkpoint from asking for all the memory there is.
MAX_SIZE = 8192
# No tensor of a checkpoint depends on these, but the time and the memory that a photo takes do.
MAX_IMAGE_SIZE = 768
MAX_GRID_SIZE = 64


def _size(default: int | None, help: str) -> Any:
    return setting(default, help, least=1, most=MAX_SIZE)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shapes of a model; the defaults are the reference's.

    Raises:
        ValueError: a setting has another type, or is out of its range.
    """

    encoder: str = setting("resnet101.tv_in1k", "timm's name of the backbone")
    image_size: int = setting(
        224, "height and width to which photos are resized, in pixels", least=1, most=MAX_IMAGE_SIZE
    )
    grid_size: int | None = setting(
        None,
        "rows and columns to which the feature grid is pooled (adaptive mean); none keeps the backbone's own",
        least=1,
        most=MAX_GRID_SIZE,
    )
    neck_size: int | None = _size(None, "length to which feature vectors are shortened; none keeps the backbone's own")
    embedding_size: int = _size(300, "length of a word's vector; that of word vectors where there are any")
    attention_size: int = _size(512, "length of the vectors that attention compares")
    attention_activation: str = setting("tanh", "activation of attention's inner layer", choices=("tanh", "relu"))
    initial_activation: str = setting(
        "tanh", "activation of the layers that give the LSTM's initial state", choices=("tanh", "linear")
    )
    decoder_size: int = _size(512, "length of the LSTM's hidden state")
    dropout: float = setting(0.5, "dropout of the hidden state in training", least=0, below=1)
    feature_dropout: float = setting(0.0, "dropout of the feature vectors in training", least=0, below=1)

    def __post_init__(self):
        check(self)
