"""Encoder and decoder as one model, and the settings it is built from."""

from dataclasses import dataclass

import torch
from torch import nn

from captioning.model.decoder import AttentionDecoder
from captioning.model.encoder import ImageEncoder

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


class CaptioningModel(nn.Module):
    """Photos in, words out: `encoder` gives the feature grid, `decoder` reads it.

    Args:
        config: the shapes.
        vocabulary_size: V.
        pretrained: start from the backbone's ImageNet weights.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int, *, pretrained: bool = False):
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config.encoder, config.image_size, pretrained=pretrained)
        self.decoder = AttentionDecoder(
            vocabulary_size=vocabulary_size,
            encoder_channels=self.encoder.channels,
            neck_size=config.neck_size,
            embedding_size=config.embedding_size,
            attention_size=config.attention_size,
            decoder_size=config.decoder_size,
            dropout=config.dropout,
            feature_dropout=config.feature_dropout,
        )

    def forward(self, pixels: torch.Tensor, captions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and attention weights of teacher forcing; see `AttentionDecoder.forward`."""
        return self.decoder(self.encoder(pixels), captions)
