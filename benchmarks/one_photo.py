"""One photo, from its file to its caption at beam 5: ours beside what somebody could use instead.

python -m benchmarks.one_photo

The others have random weights, for speed does not depend on them, and generate as many words as ours: the reference's
ResNet-101 with its search, and ViT-GPT2 and BLIP-base as the transformers library builds them.
"""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet101
from torchvision.transforms.v2.functional import normalize

from benchmarks.reference import reference_search
from benchmarks.timing import HEAD, Row, compare
from captioning import Captioner, SearchOptions, open_image
from captioning.config import ModelConfig
from captioning.defaults import DEFAULT_CHECKPOINT
from captioning.images import to_pixels
from captioning.model.model import CaptioningModel
from captioning.page.gallery import sample_photos
from captioning.vocabulary import END

WIDTH = 5
# The size of the reference's photos, and to what it enlarges their feature grid.
REFERENCE_SIZE, REFERENCE_GRID = 224, 14
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


class Reference:
    """ResNet-101 and the reference's search, in plain torch and torchvision."""

    def __init__(self, vocabulary_size: int):
        self.encoder = nn.Sequential(*list(resnet101().children())[:-2], nn.AdaptiveAvgPool2d(REFERENCE_GRID)).eval()
        self.decoder = CaptioningModel(ModelConfig(), vocabulary_size).decoder.eval()
        # With random weights it would end some hypotheses early by chance.
        self.decoder.output.bias.data[END] = -1e4

    @torch.inference_mode()
    def __call__(self, photo: Path, words: int) -> None:
        pixels = torch.from_numpy(to_pixels(open_image(photo), REFERENCE_SIZE)).unsqueeze(0) / 255
        features = self.encoder(normalize(pixels, *IMAGENET)).flatten(2).transpose(1, 2)
        reference_search(self.decoder, features, WIDTH, words)


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
    # The sample that is a JPEG, as photos are.
    photo = sample_photos()["Rocket"]
    captioner, options = Captioner.from_checkpoint(DEFAULT_CHECKPOINT), SearchOptions(beam_size=WIDTH)
    # As many steps as our search takes until its last hypothesis has ended.
    words = max(len(found.text.split()) + 1 for found in captioner(photo, options).hypotheses)
    reference = Reference(len(captioner.info.vocabulary))
    others = {"ResNet-101, the reference's search": reference, "ViT-GPT2": vit_gpt2(), "BLIP-base": blip_base()}
    return compare(
        f"file to caption at beam {WIDTH}, {words} steps",
        lambda: captioner(photo, options),
        {name: lambda other=other: other(photo, words) for name, other in others.items()},
    )


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
