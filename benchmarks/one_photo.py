"""One photo, from its file to its caption at beam 5: ours beside what somebody could use instead.

python -m benchmarks.one_photo

The others have random weights, for speed does not depend on them, and say as many words as ours: the reference's
ResNet-101 with its search, and ViT-GPT2 and BLIP-base as the transformers library builds them.
"""

from pathlib import Path

import torch
from torch.nn.functional import adaptive_avg_pool2d

from benchmarks.reference import reference_search
from benchmarks.timing import HEAD, Row, compare
from captioning import Captioner, SearchOptions, open_image
from captioning.checkpoint import DEFAULT_CHECKPOINT
from captioning.data.gallery import sample_photos
from captioning.images import to_pixels
from captioning.model.model import CaptioningModel, ModelConfig

WIDTH = 5
# To which the reference enlarges the feature grid.
REFERENCE_GRID = 14


class Reference:
    """ResNet-101 and the reference's search, in plain torch."""

    def __init__(self, vocabulary_size: int):
        self.model = CaptioningModel(ModelConfig(), vocabulary_size).eval()
        # It would end some hypotheses early by chance.
        self.model.decoder.output.bias.data[:4] = -1e4

    @torch.inference_mode()
    def __call__(self, photo: Path, words: int) -> None:
        pixels = to_pixels(open_image(photo), self.model.config.image_size).unsqueeze(0)
        encoder = self.model.encoder
        grid = encoder(pixels).transpose(1, 2).unflatten(2, encoder.grid)
        features = adaptive_avg_pool2d(grid, REFERENCE_GRID).flatten(2).transpose(1, 2)
        reference_search(self.model.decoder, features, WIDTH, words)


class Pretrained:
    """A model of the transformers library with its image processor."""

    def __init__(self, model: torch.nn.Module, processor, **settings: object):
        self.model, self.processor, self.settings = model.eval(), processor, settings

    @torch.inference_mode()
    def __call__(self, photo: Path, words: int) -> None:
        pixels = self.processor(open_image(photo), return_tensors="pt").pixel_values
        self.model.generate(
            pixel_values=pixels, num_beams=WIDTH, min_new_tokens=words, max_new_tokens=words, **self.settings
        )


def vit_gpt2() -> Pretrained:
    from transformers import (
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    decoder = GPT2Config(is_decoder=True, add_cross_attention=True)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(), decoder)
    tokens = dict.fromkeys(("bos_token_id", "pad_token_id", "eos_token_id"), decoder.eos_token_id)
    return Pretrained(VisionEncoderDecoderModel(config), ViTImageProcessor(), **tokens)


def blip_base() -> Pretrained:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    return Pretrained(BlipForConditionalGeneration(BlipConfig()), BlipImageProcessor())


def measure() -> list[Row]:
    """Ours beside each of the others."""
    photo = sample_photos()["Astronaut"]
    captioner, options = Captioner.from_checkpoint(DEFAULT_CHECKPOINT), SearchOptions(beam_size=WIDTH)
    words = len(captioner(photo, options).steps)
    reference = Reference(len(captioner.info.vocabulary))
    others = {"ResNet-101, the reference's search": reference, "ViT-GPT2": vit_gpt2(), "BLIP-base": blip_base()}
    return compare(
        f"file to caption at beam {WIDTH}, {words} tokens",
        lambda: captioner(photo, options),
        {name: lambda other=other: other(photo, words) for name, other in others.items()},
    )


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
