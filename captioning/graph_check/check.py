"""A graph is read field by field before the runtime sees it, for the runtime trusts a graph.

It reads files that the graph names, repeats a number until memory is full, and runs loops that never end. So a graph
must be built from known operators and name no data but the tensors of its file, and the sizes, the memory and the work
of a run must be within bounds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import get_attribute_value

from captioning.checkpoint import WEIGHTS_PLACE
from captioning.errors import shown
from captioning.graph_check.operators import KINDS, Operator, find_operator
from captioning.graph_check.run import Run
from captioning.graph_check.sizes import MAX_KNOWN, MAX_RANK, AtMost, NodeError, Tensor, require, varies

MAX_BYTES = 2**20
MAX_NODES = 8000
# Of ONNX's operators; no others are known.
VERSIONS = range(18, 24)
# The fields that a message may have: no functions, subgraphs, sparse tensors, metadata or declared shapes in between.
FIELDS = {
    "ModelProto": {"ir_version", "producer_name", "producer_version", "opset_import", "graph"},
    "OperatorSetIdProto": {"domain", "version"},
    "GraphProto": {"name", "node", "initializer", "input", "output"},
    "NodeProto": {"name", "domain", "op_type", "input", "output", "attribute"},
    "AttributeProto": {"name", "type", "i", "f", "s", "t", "ints", "floats"},
    "TensorProto": {"name", "dims", "data_type", "raw_data", "external_data", "data_location"},
    "StringStringEntryProto": {"key", "value"},
    "ValueInfoProto": {"name", "type"},
    "TypeProto": {"tensor_type"},
    "Tensor": {"elem_type", "shape"},
    "TensorShapeProto": {"dim"},
    "Dimension": {"dim_value", "dim_param"},
}


@dataclass(frozen=True)
class GraphTensor:
    """An input, an output or a weight of a graph.

    Attributes:
        dtype: numpy's name of it.
        shape: its sizes; a name stands for one that varies from run to run.
    """

    dtype: str
    shape: tuple[int | str, ...]


def check_graph(
    data: bytes,
    *,
    inputs: Mapping[str, GraphTensor],
    outputs: Mapping[str, GraphTensor],
    weights: Mapping[str, GraphTensor],
    sizes: Mapping[str, int],
) -> list[str]:
    """Refuse a graph that the runtime must not see.

    Args:
        data: a serialized `ModelProto`.
        inputs, outputs: what it must take and give, no more and no less.
        weights: the tensors that it may use without holding them.
        sizes: the largest value of each size that varies, by name.

    Returns:
        The names of the weights that it uses.

    Raises:
        ValueError: it is refused; the message is a clause that begins with "it" or "its".
    """
    model = parse_graph(data)
    _check_fields(model)
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise ValueError(f"it has {len(graph.node):,} nodes")
    version = _read_version(model)
    _check_ends("inputs", graph.input, inputs)
    _check_ends("outputs", graph.output, outputs)
    uses = Counter(name for node in graph.node for name in set(node.input) if name)
    uses.update(outputs.keys())
    run = Run(uses)
    for name, tensor in inputs.items():
        run.add_input(name, _largest(tensor, sizes))
    for initializer in graph.initializer:
        run.add_constant(initializer.name, _read_tensor(initializer, weights))
    for node in graph.node:
        _add_node(run, node, version)
    for name, tensor in outputs.items():
        if not _fits(run.tensors.get(name), _largest(tensor, sizes)):
            raise ValueError(f"its output {name} is not that of the model")
    return [initializer.name for initializer in graph.initializer if initializer.external_data]


def parse_graph(data: bytes) -> ModelProto:
    """The graph as it is, of bounded size.

    Raises:
        ValueError: it is not a graph, or is too large.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data):,} bytes")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ValueError("it is not an ONNX graph") from None
    # The runtime might know fields that this version of ONNX does not.
    model.DiscardUnknownFields()
    if model.ByteSize() != len(data):
        raise ValueError("it has fields of an unknown version of ONNX")
    return model


def _check_fields(message: Message) -> None:
    name = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        if field.name not in FIELDS.get(name, ()):
            raise ValueError(f"it has the field {field.name} in a {name}")
        if field.type in (field.TYPE_MESSAGE, field.TYPE_STRING):
            for part in value if field.is_repeated else (value,):
                if isinstance(part, bytes):
                    raise ValueError(f"it has a {field.name} in a {name} that is not text")
                if isinstance(part, Message):
                    _check_fields(part)


def _read_version(model: ModelProto) -> int:
    """The version of ONNX's operators."""
    found = [(opset.domain, opset.version) for opset in model.opset_import]
    for domain, version in found:
        if domain or version not in VERSIONS:
            of = shown(domain or "ONNX")
            raise ValueError(f"it uses version {version} of the operators of {of} (captioning optimize makes another)")
    if len(found) != 1:
        raise ValueError("it does not name one version of the operators")
    return found[0][1]


def _check_ends(role: str, values: Sequence[ValueInfoProto], wanted: Mapping[str, GraphTensor]) -> None:
    """Compare inputs or outputs with what they must be; how the graph calls a size that varies does not matter."""
    found = {value.name: _describe(value) for value in values}
    unnamed = {
        name: GraphTensor(tensor.dtype, tuple("" if isinstance(size, str) else size for size in tensor.shape))
        for name, tensor in wanted.items()
    }
    if len(found) != len(values) or found != unnamed:
        raise ValueError(f"its {role} are not those of the model (captioning optimize makes another)")


def _describe(value: ValueInfoProto) -> GraphTensor:
    tensor = value.type.tensor_type
    sizes = tuple("" if size.dim_param else size.dim_value for size in tensor.shape.dim)
    return GraphTensor(KINDS.get(tensor.elem_type, ""), sizes)


def _largest(tensor: GraphTensor, sizes: Mapping[str, int]) -> Tensor:
    [kind] = [kind for kind, dtype in KINDS.items() if dtype == tensor.dtype]
    return Tensor(kind, tuple(AtMost(sizes[size]) if isinstance(size, str) else size for size in tensor.shape))


def _fits(found: Tensor | None, wanted: Tensor) -> bool:
    if found is None or found.kind != wanted.kind or len(found.shape) != len(wanted.shape):
        return False
    pairs = zip(found.shape, wanted.shape, strict=True)
    return all(size <= most if varies(most) else size == most and not varies(size) for size, most in pairs)


def _read_tensor(tensor: TensorProto, weights: Mapping[str, GraphTensor]) -> Tensor:
    """A tensor that stands in the graph, or one of the weights."""
    shape, dtype = tuple(tensor.dims), KINDS.get(tensor.data_type)
    if dtype is None or len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise ValueError(f"its tensor {shown(tensor.name)} has an unknown type or an odd shape")
    if tensor.external_data or tensor.data_location:
        place = [(entry.key, entry.value) for entry in tensor.external_data]
        if place != [("location", WEIGHTS_PLACE)] or tensor.raw_data:
            raise ValueError(f"its tensor {shown(tensor.name)} stands in another file")
        if weights.get(tensor.name) != GraphTensor(dtype, shape):
            raise ValueError(f"its tensor {shown(tensor.name)} is not one of the weights")
        return Tensor(tensor.data_type, shape)
    if len(tensor.raw_data) != prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"its tensor {shown(tensor.name)} has more or fewer numbers than its shape")
    value = tuple(np.frombuffer(tensor.raw_data, dtype).tolist()) if prod(shape) <= MAX_KNOWN else None
    return Tensor(tensor.data_type, shape, value)


def _add_node(run: Run, node: NodeProto, version: int) -> None:
    if node.domain:
        raise ValueError(f"it uses the operators of {shown(node.domain)}")
    operator = find_operator(node.op_type, version)
    attributes = _read_attributes(node, operator)
    try:
        require(all(name in run.tensors for name in node.input if name), "uses a tensor that nothing before it makes")
        inputs = [run.tensors.get(name) for name in node.input]
        made, inner = operator.make(inputs, attributes)
    except NodeError as error:
        raise ValueError(f"its operator {node.op_type} {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise ValueError(f"its operator {node.op_type} has inputs or attributes that do not fit") from None
    run.add_node(node.input, node.output, made, inner)


def _read_attributes(node: NodeProto, operator: Operator) -> dict[str, Any]:
    attributes = {}
    for attribute in node.attribute:
        name = attribute.name
        if name in attributes or operator.attributes.get(name) != attribute.type:
            raise ValueError(f"its operator {node.op_type} has an attribute twice, or one that is unknown")
        if attribute.type == AttributeProto.TENSOR:
            attributes[name] = _read_tensor(attribute.t, {})
        else:
            attributes[name] = get_attribute_value(attribute)
    return attributes
