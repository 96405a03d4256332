"""Layers on a CPU with their weights laid out once as oneDNN wants them, for a model that is not trained.

torch's own layers lay the weights out anew at every call, or leave small products to a slower library. The operators
are those that torch.compile puts in for a frozen model; here they are used without the wait for its compiler.
"""

import torch
from timm.layers import Conv2dSame, pad_same
from torch import nn

_ops = torch.ops.mkldnn
_NO_ACTIVATION = ("none", [], "")
# oneDNN writes and keeps a program for each number of rows that a layer is given, up to half a megabyte; a search has
# another number at every step, so that beyond this one only every eighth is used.
_EXACT_ROWS, _ROWS_STEP = 16, 8


@torch.no_grad()
def pack_layers(model: nn.Module, *example: torch.Tensor) -> None:
    """Pack every convolution and linear layer, in place; the model must be on a CPU.

    What the model computes stays the same up to rounding. Layers that oneDNN does not know stay as they are, and all of
    them where torch was built without it or this CPU lacks instructions for the model's precision.

    Args:
        model: what to pack.
        example: an input of the model, by which its convolutions are laid out; without one they stay as they are.
    """
    if not torch.backends.mkldnn.is_available() or not _knows(next(model.parameters()).dtype):
        return
    sizes = _input_sizes(model, example) if example else {}
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            model.set_submodule(name, _PackedLinear(module.weight, module.bias))
        elif name in sizes:
            model.set_submodule(name, _PackedConv2d(module, sizes[name]))


def _knows(precision: torch.dtype) -> bool:
    if precision == torch.bfloat16:
        return _ops._is_mkldnn_bf16_supported()
    if precision == torch.float16:
        return _ops._is_mkldnn_fp16_supported()
    return True


def _input_sizes(model: nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, list[int]]:
    """The size of what each convolution reads, its padding left out, in a run of the model."""
    sizes = {}

    def note(name: str):
        return lambda layer, inputs: sizes.update({name: list(_pad(layer, inputs[0]).shape)})

    hooks = [
        module.register_forward_pre_hook(note(name)) for name, module in model.named_modules() if _is_plain(module)
    ]
    model(*example)
    for hook in hooks:
        hook.remove()
    return sizes


def _is_plain(module: nn.Module) -> bool:
    """Whether this is a convolution that pads with zeros, as many as it says or as many as TensorFlow would."""
    known = type(module) in (nn.Conv2d, Conv2dSame)
    return known and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _pad(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Pad as TensorFlow does, which depends on the size and may be more on one side; torch's layers pad themselves."""
    if isinstance(layer, Conv2dSame):
        return pad_same(inputs, layer.kernel_size, layer.stride, layer.dilation)
    return inputs


class _PackedLinear(nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.weight, self.bias = _ops._reorder_linear_weight(weight), bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = len(inputs)
        missing = -rows % _ROWS_STEP if inputs.ndim == 2 and rows > _EXACT_ROWS else 0
        filled = nn.functional.pad(inputs, (0, 0, 0, missing)) if missing else inputs
        return _ops._linear_pointwise(filled, self.weight, self.bias, *_NO_ACTIVATION)[:rows]


class _PackedConv2d(nn.Module):
    def __init__(self, layer: nn.Conv2d, size: list[int]):
        super().__init__()
        self.layer = layer
        padding = [0, 0] if isinstance(layer, Conv2dSame) else layer.padding
        self.shape = (padding, layer.stride, layer.dilation, layer.groups)
        self.weight, self.bias = _ops._reorder_convolution_weight(layer.weight, *self.shape, size), layer.bias
        del layer.weight, layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        padded = _pad(self.layer, inputs)
        return _ops._convolution_pointwise(padded, self.weight, self.bias, *self.shape, *_NO_ACTIVATION)
