"""Rules of the operators that make and move numbers; see `operators.py`."""

from collections.abc import Sequence
from itertools import chain
from math import prod

from onnx import TensorProto

from captioning.graph_check.sizes import (
    MAX_KNOWN,
    Made,
    NodeError,
    Tensor,
    broadcast,
    derived,
    find_axes,
    find_axis,
    fixed,
    join,
    known,
    require,
    varies,
)

MAX_PARTS = 1024
ZERO = Tensor(TensorProto.FLOAT, (1,))


def constant(*, value: Tensor | None = None, value_ints: tuple[int, ...] | None = None) -> Made:
    if value is None:
        if value_ints is None:
            raise NodeError("has no value")
        value = Tensor(TensorProto.INT64, (len(value_ints),), tuple(value_ints[:MAX_KNOWN]))
        require(value.elements <= MAX_KNOWN, "is too large")
    return Made([value.shape], kind=value.kind, value=value.value)


def constant_of_shape(shape: Tensor, *, value: Tensor = ZERO) -> Made:
    require(value.elements == 1, "repeats more than one number")
    return Made([known(shape)], kind=value.kind)


def count_up(start: Tensor, limit: Tensor, delta: Tensor) -> Made:
    """`Range`"""
    require(start.kind == TensorProto.INT64, "counts other numbers than integers")
    [first], [end], [step] = fixed(start), fixed(limit), fixed(delta)
    return Made([(len(range(first, end, step)),)])


def read_shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Made:
    sizes = x.shape[start:end]
    return Made([(len(sizes),)], value=sizes)


def keep(x: Tensor) -> Made:
    return Made([x.shape], value=x.value)


def transpose(x: Tensor, *, perm: Sequence[int] = ()) -> Made:
    axes = find_axes(perm or range(len(x.shape))[::-1], len(x.shape))
    require(len(axes) == len(x.shape), "permutes fewer axes than there are")
    return Made([tuple(x.shape[axis] for axis in axes)])


def reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Made:
    sizes = known(shape)
    # Unless `allowzero` is set, 0 stands for the input's size, and a size that varies may be 0.
    require(allowzero != 0 or not varies(*sizes), "takes a shape that varies")
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    if -1 in sizes:
        # The most that is left: sizes that vary are at least 1.
        rest = prod(size for size in sizes if size != -1 and not varies(size))
        sizes[sizes.index(-1)] = derived(x.elements // rest, *x.shape, *sizes)
    require(varies(*x.shape, *sizes) or prod(sizes) == x.elements, f"makes {sizes} of {x.shape}")
    return Made([tuple(sizes)], value=x.value)


def expand(x: Tensor, shape: Tensor) -> Made:
    return Made([broadcast(x.shape, known(shape))])


def tile(x: Tensor, repeats: Tensor) -> Made:
    pairs = zip(x.shape, known(repeats), strict=True)
    return Made([tuple(derived(size * count, size, count) for size, count in pairs)])


def squeeze(x: Tensor, axes: Tensor | None = None) -> Made:
    require(axes is not None or not varies(*x.shape), "drops axes that vary")
    dropped = find_axes(fixed(axes), len(x.shape)) if axes else [axis for axis, size in enumerate(x.shape) if size == 1]
    require(all(join(x.shape[axis], 1) for axis in dropped), "drops an axis that has more than one place")
    return Made([tuple(size for axis, size in enumerate(x.shape) if axis not in dropped)], value=x.value)


def unsqueeze(x: Tensor, axes: Tensor) -> Made:
    rank = len(x.shape) + len(fixed(axes))
    added, sizes = find_axes(fixed(axes), rank), iter(x.shape)
    return Made([tuple(1 if axis in added else next(sizes) for axis in range(rank))], value=x.value)


def concatenate(*tensors: Tensor, axis: int) -> Made:
    axis = find_axis(axis, len(tensors[0].shape))
    columns = list(zip(*(tensor.shape for tensor in tensors), strict=True))
    shape = [derived(sum(c), *c) if place == axis else join(*c) for place, c in enumerate(columns)]
    values = [tensor.value for tensor in tensors if tensor.value is not None]
    whole = len(shape) == 1 and shape[0] <= MAX_KNOWN and len(values) == len(tensors)
    return Made([tuple(shape)], value=tuple(chain.from_iterable(values)) if whole else None)


def split(x: Tensor, parts: Tensor | None = None, *, axis: int = 0, num_outputs: int = 0) -> Made:
    axis = find_axis(axis, len(x.shape))
    size = x.shape[axis]
    part = -(-size // num_outputs) if 0 < num_outputs <= MAX_PARTS else 0
    if varies(size):
        require(part > 0 and parts is None, "splits a size that varies into unknown parts")
        sizes = [derived(part, size)] * num_outputs
    else:
        require(part > 0 or parts is not None, "splits into too many parts")
        sizes = fixed(parts) if parts else [min(part, size - first) for first in range(0, part * num_outputs, part)]
        require(sum(sizes) == size and min(sizes) > 0, "splits another size than it has")
    return Made([(*x.shape[:axis], part, *x.shape[axis + 1 :]) for part in sizes])


def cut(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Made:
    """`Slice`"""
    first, last = fixed(starts), fixed(ends)
    places = find_axes(fixed(axes) if axes else range(len(first)), len(x.shape))
    strides = fixed(steps) if steps else (1,) * len(first)
    shape, value = list(x.shape), x.value if len(x.shape) == 1 else None
    for place, *bounds in zip(places, first, last, strides, strict=True):
        require(bounds[2] > 0, "steps backwards")
        if not varies(shape[place]):
            shape[place] = len(range(shape[place])[slice(*bounds)])
        value = value and value[slice(*bounds)]
    return Made([tuple(shape)], value=value)


def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Made:
    axis = find_axis(axis, len(x.shape))
    value = None
    if len(x.shape) == 1 and x.value is not None and indices.value is not None:
        value = tuple(x.value[index] for index in fixed(indices))
    return Made([(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])], value=value)


def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Made:
    depth = indices.shape[-1]
    require(not batch_dims and not varies(depth) and depth <= len(x.shape), "has indices of an unknown kind")
    return Made([(*indices.shape[:-1], *x.shape[depth:])])


def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Made:
    find_axis(axis, len(x.shape))
    require(len(indices.shape) == len(x.shape), "has indices of another rank than its input")
    return Made([indices.shape])


def pad(x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None, *, mode=b"constant") -> Made:
    places = find_axes(fixed(axes) if axes else range(len(x.shape)), len(x.shape))
    before, after = fixed(pads)[: len(places)], fixed(pads)[len(places) :]
    require(mode == b"constant", "pads with other numbers than one constant")
    shape = list(x.shape)
    for place, *added in zip(places, before, after, strict=True):
        shape[place] = derived(shape[place] + sum(added), shape[place])
    return Made([tuple(shape)])
