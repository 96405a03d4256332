"""The operators that a graph of a checkpoint may use, and what they make of their inputs.

Each has a rule: a function of the node's inputs by position and its attributes by keyword. It refuses ranks, axes and
sizes that do not fit, so that neither ONNX nor the runtime meets them, and never gives a size below one that can occur.
Types, counts and names come from ONNX's own schemas. Definitions: https://onnx.ai/onnx/operators.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from onnx import TensorProto
from onnx.defs import OpSchema, SchemaError, get_schema

from captioning.errors import shown
from captioning.graph_check import arithmetic, layout
from captioning.graph_check.sizes import Made, NodeError, Tensor, require

KINDS: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}
TYPES = {f"tensor({TensorProto.DataType.Name(kind).lower()})": kind for kind in KINDS}

RULES: dict[str, Callable[..., Made]] = {
    name: rule
    for names, rule in {
        "Sub Div Where Clip Min Max Equal Less Greater And Or Not": arithmetic.elementwise,
        "Abs Ceil Cos Erf Exp Floor Log Neg Reciprocal Round Sin Sqrt": arithmetic.elementwise,
        "HardSwish Relu Sigmoid Tanh": arithmetic.elementwise,
        "Pow Softplus": arithmetic.slow_elementwise,
        "Elu Gelu HardSigmoid LeakyRelu": arithmetic.activate,
        "Softmax LogSoftmax": arithmetic.softmax,
        "Add": arithmetic.add,
        "Mul": arithmetic.multiply,
        "Mod": arithmetic.modulo,
        "Cast": arithmetic.cast,
        "CastLike": arithmetic.cast_like,
        "LayerNormalization": arithmetic.normalize_layer,
        "BatchNormalization": arithmetic.normalize_batch,
        "QuantizeLinear DequantizeLinear": arithmetic.quantize,
        "MatMul": arithmetic.matmul,
        "Gemm": arithmetic.gemm,
        "MatMulInteger": arithmetic.matmul_integer,
        "Conv": arithmetic.convolve,
        "AveragePool MaxPool": arithmetic.pool,
        "GlobalAveragePool GlobalMaxPool": arithmetic.pool_all,
        "ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum": arithmetic.reduce,
        "TopK": arithmetic.top_k,
        "Constant": layout.constant,
        "ConstantOfShape": layout.constant_of_shape,
        "Range": layout.count_up,
        "Shape": layout.read_shape,
        "Identity": layout.keep,
        "Transpose": layout.transpose,
        "Reshape": layout.reshape,
        "Expand": layout.expand,
        "Tile": layout.tile,
        "Squeeze": layout.squeeze,
        "Unsqueeze": layout.unsqueeze,
        "Concat": layout.concatenate,
        "Split": layout.split,
        "Slice": layout.cut,
        "Gather": layout.gather,
        "GatherND": layout.gather_nd,
        "GatherElements": layout.gather_elements,
        "Pad": layout.pad,
    }.items()
    for name in names.split()
}


@dataclass(frozen=True)
class Operator:
    """An operator of one version.

    Attributes:
        rule: see the top of this file.
        inputs: of each input the name of its type, the types that this may be, and whether it can be left out; the last
            one stands for all that follow.
        outputs: of each output the name of its type and the types that this may be.
        attributes: the type of each attribute, a number of `AttributeProto.AttributeType`.
    """

    rule: Callable[..., Made]
    inputs: Sequence[tuple[str, Collection[int], bool]]
    outputs: Sequence[tuple[str, Collection[int]]]
    attributes: Mapping[str, int]

    def make(self, inputs: Sequence[Tensor | None], attributes: Mapping[str, Any]) -> tuple[list[Tensor], int]:
        """The outputs of a node, and the multiplications for each of their elements.

        Raises:
            ValueError: it is refused.
        """
        kinds: dict[str, int] = {}
        for place, tensor in enumerate(inputs):
            name, allowed, optional = self.inputs[min(place, len(self.inputs) - 1)]
            if tensor is None:
                require(optional, "lacks an input")
            else:
                require(tensor.kind in allowed and kinds.setdefault(name, tensor.kind) == tensor.kind, "mixes types")
        made = self.rule(*inputs, **attributes)
        tensors = []
        for place, shape in enumerate(made.shapes):
            name, allowed = self.outputs[min(place, len(self.outputs) - 1)]
            kind = kinds.get(name) or (next(iter(allowed)) if len(allowed) == 1 else made.kind)
            if kind is None or kind not in allowed:
                raise NodeError("makes an unknown type")
            tensors.append(Tensor(kind, tuple(shape), made.value))
        return tensors, made.inner


@lru_cache(maxsize=256)
def find_operator(name: str, version: int) -> Operator:
    """An operator of ONNX by its name.

    Raises:
        ValueError: it is not known.
    """
    try:
        schema, rule = get_schema(name, version), RULES[name]
    except (KeyError, SchemaError):
        raise ValueError(f"it uses the operator {shown(name)}") from None
    optional = OpSchema.FormalParameterOption.Optional
    return Operator(
        rule,
        [(formal.type_str, _kinds(formal), formal.option == optional) for formal in schema.inputs],
        [(formal.type_str, _kinds(formal)) for formal in schema.outputs],
        {name: _number(attribute.type) for name, attribute in schema.attributes.items()},
    )


def _number(kind: Any) -> int:
    """The `AttributeProto.AttributeType` of an attribute's type; onnx declares no `value` of it."""
    return kind.value


def _kinds(formal: OpSchema.FormalParameter) -> set[int]:
    return {TYPES[name] for name in formal.types & TYPES.keys()}
