"""The encoder beside its arithmetic: its multiply-adds over the rate of matrix products on this machine.

python -m benchmarks.arithmetic
"""

import statistics

import torch
from torch import nn

from benchmarks.precision import AVAILABLE
from benchmarks.timing import in_turns
from captioning import Captioner
from captioning.checkpoint import read_info
from captioning.defaults import DEFAULT_CHECKPOINT
from captioning.model.encoder import CPU_BATCH_SIZE
from captioning.model.model import load_model

ROUNDS = 11
SIDE = 2048
HEAD = (
    "| precision | matrix products, GFLOP/s | floor a photo, ms | one photo, ms "
    f"| {CPU_BATCH_SIZE} together, a photo, ms | above the floor |\n|---|---|---|---|---|---|"
)


def multiply_adds() -> dict[str, int]:
    """Of the encoder's convolutions for one photo, by their names."""
    encoder = load_model(DEFAULT_CHECKPOINT)[0].encoder
    counts = {}

    def count(name: str):
        return lambda layer, _, output: counts.update({name: output[0].numel() * layer.weight[0].numel()})

    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count(name))
    with torch.inference_mode():
        encoder(blank(1))
    return counts


def blank(count: int) -> torch.Tensor:
    size = read_info(DEFAULT_CHECKPOINT).config.image_size
    return torch.zeros(count, 3, size, size, dtype=torch.uint8)


@torch.inference_mode()
def matrix_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of large matrix products."""
    one, other = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    times = in_turns({"product": lambda: one @ other}, ROUNDS)["product"]
    return 2 * SIDE**3 / statistics.median(times)


@torch.inference_mode()
def measure() -> list[str]:
    """Lines of the table, one a precision."""
    counts, lines = multiply_adds(), []
    rates = {name: matrix_rate(getattr(torch, name)) for name in AVAILABLE}
    for name, rate in rates.items():
        encoder = Captioner.from_checkpoint(DEFAULT_CHECKPOINT, precision=name).encoder
        photos = {count: blank(count) for count in (1, CPU_BATCH_SIZE)}
        works = {str(count): lambda encoder=encoder, pixels=pixels: encoder(pixels) for count, pixels in photos.items()}
        times = in_turns(works, ROUNDS)
        one, together = (statistics.median(times[str(count)]) / count * 1000 for count in photos)
        rounded = sum(n for layer, n in counts.items() if encoder.get_submodule(layer).weight.dtype != torch.float32)
        seconds = 2 * (rounded / rate + (sum(counts.values()) - rounded) / rates["float32"])
        floor = 1000 * seconds
        above = min(one, together) / floor
        lines.append(f"| {name} | {rate / 1e9:,.0f} | {floor:.1f} | {one:.1f} | {together:.1f} | {above:.1f} × |")
    return [*lines, "", f"The encoder has {sum(counts.values()) / 1e9:.3f} G multiply-adds a photo."]


if __name__ == "__main__":
    print(HEAD, *measure(), sep="\n")
