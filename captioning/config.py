"""The settings that a model is built from, and the precisions in which it runs."""

from dataclasses import dataclass

# In which a checkpoint can have graphs, the one to prefer first, and PyTorch's encoder can compute.
GRAPH_PRECISIONS = ("int8", "float32")
TORCH_PRECISIONS = ("float32", "float16", "bfloat16")
PRECISIONS = tuple(dict.fromkeys(GRAPH_PRECISIONS + TORCH_PRECISIONS))
# Far beyond any sensible model; it keeps a forged checkpoint from asking for all the memory there is.
MAX_SIZE = 8192
# No tensor of a checkpoint depends on it, but the time and the memory that a photo takes do.
MAX_IMAGE_SIZE = 768


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shapes of a model; the defaults are the reference's.

    Attributes:
        encoder: timm's name of the backbone.
        image_size: height and width to which photos are resized.
        neck_size: length to which feature vectors are shortened, or None for the backbone's own.
        embedding_size, attention_size, decoder_size: see `AttentionDecoder`.
        dropout, feature_dropout: rates in training.

    Raises:
        ValueError: the encoder is no name, a size no positive whole number, or a rate is not in [0, 1).
    """

    encoder: str = "resnet101.tv_in1k"
    image_size: int = 224
    neck_size: int | None = None
    embedding_size: int = 300
    attention_size: int = 512
    decoder_size: int = 512
    dropout: float = 0.5
    feature_dropout: float = 0.0

    def __post_init__(self):
        if type(self.encoder) is not str:
            raise ValueError("encoder must be the name of a backbone")
        sizes = {"image_size": MAX_IMAGE_SIZE}
        sizes |= dict.fromkeys(("embedding_size", "attention_size", "decoder_size"), MAX_SIZE)
        if self.neck_size is not None:
            sizes["neck_size"] = MAX_SIZE
        for name, most in sizes.items():
            if type(getattr(self, name)) is not int or not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}")
        for name in ("dropout", "feature_dropout"):
            if type(getattr(self, name)) not in (int, float) or not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")
