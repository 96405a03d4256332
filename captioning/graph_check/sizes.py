"""What is known of a graph's tensors before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]

# Elements of a tensor that may be a shape.
MAX_KNOWN = 64
MAX_RANK = 8


class NodeError(ValueError):
    """A node that is refused; the message continues the sentence "its operator Conv …"."""


class AtMost(int):
    """A size that is not the same in every run: the largest it can be."""


@dataclass(frozen=True)
class Tensor:
    """A tensor before it is computed.

    Attributes:
        kind: a `TensorProto.DataType`.
        shape: its sizes.
        value: its elements in row-major order if they are few and known; a size that varies is `AtMost`.
    """

    kind: int
    shape: Shape
    value: tuple | None = None

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Made:
    """The outputs of a node.

    Attributes:
        shapes: of each output.
        inner: multiplications for each element of the outputs; 0 for an operator without a sum.
        value: the elements of the only output, if they are known.
        kind: the type of the outputs where the types of the inputs do not decide it.
    """

    shapes: Sequence[Shape]
    inner: int = 0
    value: tuple | None = None
    kind: int | None = None


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise NodeError(problem)


def varies(*sizes: int) -> bool:
    return any(isinstance(size, AtMost) for size in sizes)


def derived(size: int, *origins: int) -> int:
    """A size computed from others, which varies if one of them does."""
    return AtMost(size) if varies(*origins) else size


def known(tensor: Tensor) -> tuple:
    """The elements of a vector or scalar."""
    if tensor.value is None or len(tensor.shape) > 1:
        raise NodeError("takes a shape or axes that are not known in advance")
    return tensor.value


def fixed(tensor: Tensor) -> tuple:
    """The elements of a vector or scalar that are the same in every run."""
    elements = known(tensor)
    require(not varies(*elements), "takes a shape or axes that vary")
    return elements


def find_axis(axis: int, rank: int) -> int:
    """An axis counted from the first."""
    require(-rank <= axis < rank, f"names axis {axis} of {rank}")
    return axis % rank


def find_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Different axes counted from the first."""
    places = [find_axis(axis, rank) for axis in axes]
    require(len(set(places)) == len(places), "names an axis twice")
    return places


def join(*sizes: int) -> int:
    """What sizes that must be equal are."""
    exact = {size for size in sizes if not varies(size)}
    require(len(exact) <= 1, f"joins sizes {', '.join(map(str, sizes))}")
    return exact.pop() if exact else max(sizes)


def broadcast(*shapes: Shape) -> Shape:
    """The shape of an elementwise operator's output."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True)
    return tuple(
        join(*wide) if (wide := [size for size in column if size != 1 or varies(size)]) else 1 for column in columns
    )
