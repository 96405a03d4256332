"""Rules of the operators that compute numbers; see `operators.py`."""

from collections.abc import Callable, Sequence
from math import prod

from onnx import TensorProto

from captioning.graph_check.sizes import (
    AtMost,
    Made,
    Shape,
    Tensor,
    broadcast,
    derived,
    find_axes,
    find_axis,
    fixed,
    join,
    require,
    varies,
)

# Of a size that is computed: no integer type overflows.
MAX_ELEMENT = 2**30
# Work beside the multiplications, as measured on ONNX Runtime: of each of many small matrix products; of each row that
# is normalized, and of each element where that is over another axis than the last; of each element that is sorted,
# that goes through a slow function, or that is in the window of a pool.
PRODUCT_WORK = 2**14
ROW_WORK = 2**11
STRIDED_WORK = 2**11
SORT_WORK = 2**12
SLOW_WORK = 2**7
POOL_WORK = 2**7
# Convolutions with few output channels in a group take that many times as long.
FEW_CHANNELS = 16
FEW_CHANNELS_WORK = 8


def elementwise(*tensors: Tensor | None) -> Made:
    return Made([broadcast(*(tensor.shape for tensor in tensors if tensor))])


def slow_elementwise(*tensors: Tensor) -> Made:
    return Made(elementwise(*tensors).shapes, SLOW_WORK)


def add(a: Tensor, b: Tensor) -> Made:
    return Made(elementwise(a, b).shapes, value=_combine(a, b, lambda x, y: x + y))


def multiply(a: Tensor, b: Tensor) -> Made:
    return Made(elementwise(a, b).shapes, value=_combine(a, b, lambda x, y: x * y))


def modulo(a: Tensor, b: Tensor, *, fmod: int = 0) -> Made:
    # Of sizes that vary it is not the largest that leaves the largest rest.
    value = None
    if not fmod and a.value and b.value and a.shape == b.shape and not varies(*a.value, *b.value):
        value = tuple(x % y for x, y in zip(a.value, b.value, strict=True))
    return Made(elementwise(a, b).shapes, value=value)


def _combine(a: Tensor, b: Tensor, operation: Callable[[int, int], int]) -> tuple | None:
    """Elements, where none is negative: only then do the largest sizes give the largest results."""
    if not a.value or not b.value or min(a.value + b.value) < 0 or max(len(a.shape), len(b.shape)) > 1:
        return None
    length = max(len(a.value), len(b.value))
    pairs = zip(a.value * (length // len(a.value)), b.value * (length // len(b.value)), strict=True)
    elements = tuple(derived(operation(x, y), x, y) for x, y in pairs)
    require(max(elements) <= MAX_ELEMENT, "computes a size beyond all bounds")
    return elements


def softmax(x: Tensor, *, axis: int = -1) -> Made:
    last = find_axis(axis, len(x.shape)) == len(x.shape) - 1
    return Made([x.shape], ROW_WORK // x.shape[-1] if last else STRIDED_WORK)


def activate(x: Tensor, *, alpha: float = 0, beta: float = 0, approximate: bytes = b"") -> Made:
    return Made([x.shape])


def cast(x: Tensor, *, to: int, saturate: int = 1) -> Made:
    whole = {x.kind, to} <= {TensorProto.INT32, TensorProto.INT64}
    kept = whole and x.value is not None and all(-MAX_ELEMENT <= element <= MAX_ELEMENT for element in x.value)
    return Made([x.shape], kind=to, value=x.value if kept else None)


def cast_like(x: Tensor, like: Tensor, *, saturate: int = 1) -> Made:
    return Made([x.shape])


def normalize_layer(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 0, stash_type: int = 1
) -> Made:
    normalized = x.shape[find_axis(axis, len(x.shape)) :]
    fits = {tensor.shape for tensor in (scale, bias) if tensor} == {normalized}
    require(fits, "scales other sizes than it normalizes")
    return Made([x.shape], ROW_WORK // prod(normalized))


def normalize_batch(
    x: Tensor, *vectors: Tensor, epsilon: float = 0, momentum: float = 0, training_mode: int = 0
) -> Made:
    require(not training_mode, "is in training mode")
    require({vector.shape for vector in vectors} == {x.shape[1:2]}, "scales other channels than it has")
    return Made([x.shape])


def quantize(x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, saturate: int = 1) -> Made:
    for tensor in filter(None, (scale, zero)):
        channels = tensor.elements == 1 or tensor.shape == (x.shape[find_axis(axis, len(x.shape))],)
        require(channels, "has scales for other channels than it has")
    return Made([x.shape], kind=TensorProto.UINT8)


def matmul(a: Tensor, b: Tensor) -> Made:
    require({a.kind, b.kind} == {TensorProto.FLOAT}, "multiplies other numbers than float32")
    return _product(a, b)


def _product(a: Tensor, b: Tensor) -> Made:
    require(min(len(a.shape), len(b.shape)) > 1, "multiplies vectors")
    rows, columns = a.shape[-2], b.shape[-1]
    inner = join(a.shape[-1], b.shape[-2]) + PRODUCT_WORK // (rows * columns)
    return Made([(*broadcast(a.shape[:-2], b.shape[:-2]), rows, columns)], inner)


def gemm(a: Tensor, b: Tensor, c: Tensor | None = None, **settings: float) -> Made:
    require(len(a.shape) == len(b.shape) == 2, "multiplies other tensors than matrices")
    turned = settings.get("transA"), settings.get("transB")
    a, b = (Tensor(x.kind, x.shape[::-1] if turn else x.shape) for x, turn in zip((a, b), turned, strict=True))
    made = matmul(a, b)
    require(c is None or broadcast(made.shapes[0], c.shape) == made.shapes[0], "adds a larger tensor than its product")
    return made


def matmul_integer(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Made:
    require(all(zero is None or zero.shape == () for zero in (a_zero, b_zero)), "has more zero points than one")
    return _product(a, b)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, group: int = 1, kernel_shape: Shape = (), **window
) -> Made:
    channels, inputs, *kernel = weight.shape
    require(x.kind == TensorProto.FLOAT, "convolves other numbers than float32")
    require(tuple(kernel_shape) in ((), tuple(kernel)), "has weights of another shape than it says")
    require(group > 0 and channels % group == 0 and x.shape[1] == inputs * group, "has weights for other channels")
    require(bias is None or bias.shape == (channels,), "has a bias for other channels")
    places = _count_windows(x, kernel, **window)
    products = prod(weight.shape[1:]) * (FEW_CHANNELS_WORK if channels // group < FEW_CHANNELS else 1)
    return Made([(x.shape[0], channels, *places)], products + PRODUCT_WORK * group // (channels * prod(places)))


def pool(
    x: Tensor, *, kernel_shape: Shape, count_include_pad: int = 0, ceil_mode: int = 0, storage_order: int = 0, **window
) -> Made:
    spatial = _count_windows(x, kernel_shape, ceil_mode=ceil_mode, **window)
    return Made([(*x.shape[:2], *spatial)], POOL_WORK * prod(kernel_shape))


def _count_windows(
    x: Tensor,
    kernel: Sequence[int],
    *,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    auto_pad: bytes = b"NOTSET",
    ceil_mode: int = 0,
) -> Shape:
    """Places of a window on one or two spatial axes."""
    rank = len(kernel)
    require(rank in (1, 2) and len(x.shape) == rank + 2 and auto_pad == b"NOTSET", "has a window of an unknown kind")
    require(min(len(strides), len(dilations), len(pads) // 2) >= rank, "has a window of fewer axes than its input")
    require(min(*kernel, *strides, *dilations) > 0 <= min(pads), "has a window of negative size")
    counts = []
    for axis, size in enumerate(x.shape[2:]):
        extent = dilations[axis] * (kernel[axis] - 1) + 1
        before, after = pads[axis], pads[rank + axis]
        room = size + before + after - extent
        require(room >= 0 and max(before, after) < extent, "has a window that does not fit its input")
        count = (room + (strides[axis] - 1) * ceil_mode) // strides[axis] + 1
        # No window begins behind the input, as one more might in `ceil_mode`.
        count -= ceil_mode and (count - 1) * strides[axis] >= size + before
        counts.append(derived(count, size))
    return tuple(counts)


def pool_all(x: Tensor) -> Made:
    return Made([(*x.shape[:2], *(1 for _ in x.shape[2:]))])


def reduce(x: Tensor, axes: Tensor | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Made:
    require(not noop_with_empty_axes, "may reduce nothing")
    dropped = find_axes(fixed(axes), len(x.shape)) if axes else range(len(x.shape))
    sizes = [1 if axis in dropped else size for axis, size in enumerate(x.shape) if keepdims or axis not in dropped]
    return Made([tuple(sizes)])


def top_k(x: Tensor, k: Tensor, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Made:
    axis = find_axis(axis, len(x.shape))
    [size] = (AtMost(x.shape[axis]),) if k.value is None else k.value
    require(k.shape == (1,) and 0 < size <= x.shape[axis], "takes more than there is")
    return Made([(*x.shape[:axis], size, *x.shape[axis + 1 :])] * 2, SORT_WORK)
