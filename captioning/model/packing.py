"""Layers on a CPU with their weights laid out once as oneDNN wants them, for a model that is not trained.

torch's own layers lay the weights out anew at every call, or leave small products to a slower library. The operators
are those that torch.compile puts in for a frozen model; here they are used without the wait for its compiler. Products
of few rows, which wait for memory, go to FBGEMM where it can read their weights in half the bytes.
"""

import torch
from timm.layers import Conv2dSame, get_same_padding
from torch import nn

from captioning.model.sole_readers import sole_readers

_ops = torch.ops.mkldnn
# Activations that the operators apply to what they write, as they are told of them.
_NO_ACTIVATION = ("none", [], "")
_ACTIVATIONS = {nn.ReLU: ("relu", [], ""), nn.ReLU6: ("hardtanh", [0.0, 6.0], "")}
# oneDNN writes and keeps a program for each number of rows that a layer is given, up to half a megabyte; a search has
# another number at every step, so that beyond this one only every eighth is used.
_EXACT_ROWS, _ROWS_STEP = 16, 8


@torch.no_grad()
def pack_layers(model: nn.Module, *example: torch.Tensor, few_rows: bool = False) -> None:
    """Pack every convolution and linear layer, in place; the model must be on a CPU.

    What the model computes stays the same up to rounding. Layers that oneDNN does not know stay as they are, and all of
    them where torch was built without it or this CPU lacks instructions for one of the model's precisions. A ReLU that
    alone reads a convolution becomes part of it. It would make zeros of what is not a number, so that the convolutions
    of a model whose numbers overflow for the example stay as they are too, and what it computes shows that they do.

    Args:
        model: what to pack.
        example: an input of the model, by which its convolutions are laid out: all inputs must have its height and
            width. Without one they stay as they are.
        few_rows: whether linear layers are given a few rows as a rule, so that most of the time goes by until their
            weights have come from memory. Weights that are numbers of float16, as a checkpoint's are, are then kept as
            such: half as many bytes, with which FBGEMM computes the same in float32.
    """
    if not torch.backends.mkldnn.is_available() or not all(has_operators(each.dtype) for each in model.parameters()):
        return
    sizes = _input_sizes(model, example) if example else {}
    readers = sole_readers(model) if example else {}
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and not module._forward_pre_hooks:
            packed = _Float16Linear if few_rows and _is_float16(module.weight) else _PackedLinear
            model.set_submodule(name, packed(module.weight, module.bias))
        elif name in sizes:
            activation = _ACTIVATIONS.get(type(model.get_submodule(readers[name]))) if name in readers else None
            if activation:
                model.set_submodule(readers[name], nn.Identity())
            model.set_submodule(name, _PackedConv2d(module, sizes[name], activation or _NO_ACTIVATION))


def has_operators(precision: torch.dtype) -> bool:
    """Whether oneDNN computes in this precision on this CPU."""
    if precision == torch.bfloat16:
        return _ops._is_mkldnn_bf16_supported()
    if precision == torch.float16:
        return _ops._is_mkldnn_fp16_supported()
    return True


def _input_sizes(model: nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, list[int]]:
    """The size of what each convolution reads in a run of the model; nothing of one that gives no finite numbers."""
    sizes = {}

    def note(name: str):
        return lambda layer, inputs: sizes.update({name: list(inputs[0].shape)})

    hooks = [
        module.register_forward_pre_hook(note(name)) for name, module in model.named_modules() if _is_plain(module)
    ]
    finite = model(*example).isfinite().all()
    for hook in hooks:
        hook.remove()
    return sizes if finite else {}


def _is_plain(module: nn.Module) -> bool:
    """Whether this is a convolution that pads with zeros, as many as it says or as many as TensorFlow would."""
    if module._forward_pre_hooks:
        return False
    if type(module) is Conv2dSame:
        # A row of zeros before its kernel would move a dilated one by more than a row.
        return module.dilation == (1, 1)
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _is_float16(weight: torch.Tensor) -> bool:
    """Whether these are finite numbers of float16, and torch has FBGEMM to read them."""
    exact = torch.equal(weight.half().to(weight.dtype), weight) and weight.isfinite().all()
    return exact and torch.backends.quantized.engine in ("x86", "fbgemm")


class _Float16Linear(nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(inputs, self.packed)


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
    def __init__(self, layer: nn.Conv2d, size: list[int], activation: tuple[str, list[float], str]):
        super().__init__()
        weight, padding = (
            _padded_alike(layer, size[2:]) if isinstance(layer, Conv2dSame) else (layer.weight, layer.padding)
        )
        self.shape = (padding, layer.stride, layer.dilation, layer.groups)
        self.weight, self.bias = _ops._reorder_convolution_weight(weight, *self.shape, size), layer.bias
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return _ops._convolution_pointwise(inputs, self.weight, self.bias, *self.shape, *self.activation)


def _padded_alike(layer: Conv2dSame, size: list[int]) -> tuple[torch.Tensor, list[int]]:
    """A kernel and a padding, alike on both sides, that do what TensorFlow's padding does for inputs of this size.

    Where the number of zeros is odd, TensorFlow puts the extra one at the end. Here the start gets one more too, and
    the kernel a row or column of zeros that falls on it, so that no input need be copied to be padded.
    """
    spaces = zip(size, layer.kernel_size, layer.stride, strict=True)
    missing = [get_same_padding(length, kernel, stride, dilation=1) for length, kernel, stride in spaces]
    padding = [-(-number // 2) for number in missing]
    rows, columns = (number % 2 for number in missing)
    return nn.functional.pad(layer.weight, (columns, 0, rows, 0)), padding
