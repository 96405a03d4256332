"""The encoder as it runs in int8, with gradients (Jacob et al., 2018, *Quantization and Training of Neural Networks*).

Weights and activations are rounded to what int8 can hold, and computed with in floating point. The gradient passes
through the rounding as if it were not there (a straight-through estimator), so that training finds weights that lose
little by it.
"""

import torch
from torch import nn
from torch.func import functional_call

# As `encoder_quantization.py` has them: weights of 7 bits with a sign, activations of 8 without.
LARGEST_WEIGHT = 64
LARGEST_ACTIVATION = 255


class FakeQuantized:
    """An encoder whose convolutions round their weights and their inputs; pixels are whole numbers already.

    An activation's range is that of the batch at hand; `encoder_quantization.py` measures it on photos before.

    Args:
        encoder: called as it is, and not changed.
    """

    def __init__(self, encoder: nn.Module):
        self._encoder = encoder
        self._convolutions = {
            f"{name}.weight": module for name, module in encoder.named_modules() if isinstance(module, nn.Conv2d)
        }

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the encoder gives for uint8 pixels (B, 3, S, S): its feature grid (B, L, D)."""
        weights = {name: round_weights(module.weight) for name, module in self._convolutions.items()}
        _, *others = self._convolutions.values()
        hooks = [module.register_forward_pre_hook(_round_input) for module in others]
        try:
            return functional_call(self._encoder, weights, (pixels,))
        finally:
            for hook in hooks:
                hook.remove()


def round_weights(weights: torch.Tensor) -> torch.Tensor:
    """A convolution's weights (output channels, …) as int8 holds them, with a scale for each output channel."""
    largest = weights.detach().abs().flatten(1).amax(dim=1).float()
    scales = (largest / LARGEST_WEIGHT).clamp(min=torch.finfo(torch.float32).tiny)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scales, zeros, 0, -LARGEST_WEIGHT, LARGEST_WEIGHT)


def round_activations(values: torch.Tensor) -> torch.Tensor:
    """Activations as int8 holds them, with one scale for all; 0 stays 0."""
    least, most = torch.aminmax(values.detach().float())
    least, most = least.clamp(max=0), most.clamp(min=0)
    scale = ((most - least) / LARGEST_ACTIVATION).clamp(min=torch.finfo(torch.float32).tiny)
    zero = (-least / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, LARGEST_ACTIVATION)


def _round_input(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (round_activations(inputs[0]),)
