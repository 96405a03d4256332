"""The graph check gives every operator the shape that the runtime gives it, and bounds sizes that vary."""

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from captioning import DEFAULT_CHECKPOINT
from captioning.checkpoint import GRAPHS, graph_name, read_info, read_tensors
from captioning.graph_check import GraphTensor, check_graph, check_model_graphs
from captioning.graph_check.operators import KINDS, RULES
from captioning.inference.onnx_backend import open_session
from tests.hostile_graphs import integers, node, numbers

X = (2, 8, 6, 6)
CHANNELS = numbers("c", np.ones(8))
IMAGE = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}


def case(operator: str, *inputs: str | np.ndarray, outputs: int = 1, **attributes):
    """A node that makes y, and maybe more, of x and constants."""
    constants = {f"k{place}": array for place, array in enumerate(inputs) if not isinstance(array, str)}
    names = [array if isinstance(array, str) else f"k{place}" for place, array in enumerate(inputs)]
    made = ["y", *(f"more{place}" for place in range(1, outputs))]
    return node(operator, names, made, **attributes), constants


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def real(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


UNARY = (
    "Abs Ceil Cos Erf Exp Floor HardSwish Identity Log Neg Reciprocal Relu Round Sigmoid Sin Softplus Sqrt Tanh".split()
)
BINARY = "Add Sub Mul Div Pow Min Max Equal Less Greater".split()
CASES = [
    *(case(name, "x") for name in [*UNARY, "Elu", "Gelu", "HardSigmoid", "LeakyRelu", "GlobalAveragePool"]),
    *(case(name, "x", real(5, 1, 8, 1, 6)) for name in BINARY),
    *(case(name, "x", whole(1, -1), keepdims=0) for name in ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin")),
    case("ReduceSum", "x"),
    case("ReduceSum", "x", whole(2)),
    case("GlobalMaxPool", "x"),
    case("And", np.ones((3, 1), bool), np.ones(4, bool)),
    case("Or", np.ones((3, 1), bool), np.ones(4, bool)),
    case("Not", np.ones((3, 1), bool)),
    case("Where", np.ones((8, 1, 1), bool), "x", real(1)),
    case("Clip", "x", real(), real()),
    case("Softmax", "x", axis=1),
    case("LogSoftmax", "x"),
    case("Cast", "x", to=TensorProto.INT64),
    case("CastLike", "x", whole(1)),
    case("LayerNormalization", "x", real(6, 6), real(6, 6), axis=-2),
    case("BatchNormalization", "x", real(8), real(8), real(8), real(8)),
    case("QuantizeLinear", "x", real(8), np.zeros(8, np.int8), axis=1),
    case("QuantizeLinear", "x", real()),
    case("DequantizeLinear", np.ones((4, 3), np.uint8), real()),
    case("MatMul", "x", real(5, 1, 1, 6, 3)),
    case("Gemm", real(5, 3), real(5, 4), real(4), transA=1),
    case("Gemm", real(5, 3), real(4, 3), transB=1, alpha=2.0),
    case("MatMulInteger", np.ones((4, 2, 3), np.uint8), np.ones((3, 5), np.int8)),
    case("MatMulInteger", np.ones((2, 3), np.uint8), np.ones((3, 5), np.int8), np.uint8(3), np.int8(0)),
    case("Conv", "x", real(6, 4, 3, 2), real(6), group=2, **IMAGE, dilations=[1, 2]),
    case("Conv", real(1, 4, 9), real(2, 4, 3), strides=[2], pads=[1, 1]),
    *(case(name, "x", **IMAGE, ceil_mode=ceil) for name in ("AveragePool", "MaxPool") for ceil in (0, 1)),
    case("MaxPool", "x", kernel_shape=[2, 2], strides=[4, 4], ceil_mode=1),
    case("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 2]),
    case("TopK", "x", whole(3), outputs=2, axis=1),
    case("Constant", value=numpy_helper.from_array(real(2, 3))),
    case("Constant", value_ints=[4, 5, 6]),
    case("ConstantOfShape", whole(3, 4)),
    case("ConstantOfShape", whole(3, 4), value=integers("v", 7)),
    case("Range", np.int64(3), np.int64(17), np.int64(4)),
    case("Shape", "x", start=1, end=-1),
    case("Transpose", "x"),
    case("Transpose", "x", perm=[1, 3, 0, 2]),
    case("Reshape", "x", whole(0, -1, 3)),
    case("Reshape", "x", whole(-1, 16), allowzero=1),
    case("Expand", "x", whole(3, 1, 8, 1, 6)),
    case("Mod", "x", real(6), fmod=1),
    case("Tile", "x", whole(2, 1, 3, 1)),
    case("Squeeze", real(1, 3, 1), whole(-1)),
    case("Squeeze", real(1, 3, 1)),
    case("Unsqueeze", "x", whole(0, -1)),
    case("Concat", "x", real(2, 8, 1, 6), "x", axis=-2),
    case("Split", "x", axis=1, num_outputs=3, outputs=3),
    case("Split", "x", whole(1, 5), axis=-1, outputs=2),
    case("Slice", "x", whole(1, -4), whole(2**62, -1), whole(3, 1), whole(2, 1)),
    case("Slice", "x", whole(1, 2), whole(2, 5)),
    case("Gather", "x", np.zeros((3, 2), np.int64), axis=1),
    case("GatherND", "x", np.zeros((3, 5, 2), np.int64)),
    case("GatherElements", "x", np.zeros((2, 3, 6, 6), np.int64), axis=1),
    case("Pad", "x", whole(1, -1, 2, 0), real(), whole(0, 3)),
]


@pytest.mark.parametrize(("made", "constants"), CASES, ids=[made.op_type for made, _ in CASES])
def test_shapes_and_types_are_those_of_the_runtime(made: NodeProto, constants: dict):
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, X)
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]

    # x is always read, for a graph must use what it is given.
    def build(*outputs) -> bytes:
        graph = helper.make_graph([made], "graph", [given], outputs, tensors)
        opsets = [helper.make_opsetid("", 20)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()

    unknown = [ValueInfoProto(name=name) for name in made.output]
    session = open_session(build(*unknown), {})
    arrays = dict(zip(made.output, session.run(None, {"x": np.ones(X, np.float32)}), strict=True))

    def check(**shapes: tuple[int, ...]) -> None:
        outputs = {name: GraphTensor(array.dtype.name, shapes.get(name, array.shape)) for name, array in arrays.items()}
        kinds = {dtype: kind for kind, dtype in KINDS.items()}
        declared = [helper.make_tensor_value_info(n, kinds[t.dtype], t.shape) for n, t in outputs.items()]
        check_graph(
            build(*declared),
            inputs={"x": GraphTensor("float32", X)},
            outputs=outputs,
            weights={},
            sizes={},
        )

    check()
    for name, array in arrays.items():
        with pytest.raises(ValueError, match=f"its output {name} is not that of the model"):
            check(**{name: (*array.shape, 2)})


def test_every_operator_is_tried():
    assert {made.op_type for made, _ in CASES} == RULES.keys()


VARYING = {
    "reshape": ["Reshape x flat t"],
    "concat": ["Concat x x t"],
    "split": ["Split x t"],
    "shape": ["Shape x s", "Mul s s p", "Expand one p t"],
    "sum": ["Shape x s", "Add s s p", "ConstantOfShape p t"],
    "gather": ["Shape x s", "Gather s zero r", "Concat r r p", "Expand one p t"],
    "outer": ["Transpose x a", "MatMul x a t"],
    "window": ["Transpose x a", "Unsqueeze a zero i", "MaxPool i t"],
    "sort": ["Transpose x a", "TopK a count t"],
}
ATTRIBUTES = {
    "Concat": {"axis": 0},
    "Split": {"axis": 0, "num_outputs": 2},
    "MaxPool": {"kernel_shape": [3], "strides": [2], "pads": [1, 1]},
    "TopK": {"axis": -1},
}
TENSORS = [
    integers("flat", -1),
    integers("zero", 0),
    numbers("one", np.ones(1)),
]


@pytest.mark.parametrize("lines", VARYING.values(), ids=VARYING.keys())
def test_the_bound_of_a_size_that_varies_is_the_largest_that_occurs(lines: list[str]):
    """However many rows there are, and no larger: with a smaller bound the graph is refused."""
    rows, width = 12, 4
    nodes = []
    for line in lines:
        operator, *inputs, output = line.split()
        outputs = [output, "_"] if operator in ("TopK", "Split") else [output]
        nodes.append(node(operator, inputs, outputs, **ATTRIBUTES.get(operator, {})))
    nodes.append(node("Reshape", ["t", "flat"], ["y"]))
    used = {name for each in nodes for name in each.input}
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ("rows", width)),
        helper.make_tensor_value_info("count", TensorProto.INT64, (1,)),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("size",))
    tensors = [tensor for tensor in TENSORS if tensor.name in used]
    graph = helper.make_graph(nodes, "graph", inputs, [output], tensors)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    session = open_session(data, {})
    found = [
        session.run(None, {"x": np.ones((count, width), np.float32), "count": np.array([count])})[0].size
        for count in range(3, rows + 1)
    ]

    def check(size: int) -> None:
        check_graph(
            data,
            inputs={"x": GraphTensor("float32", ("rows", width)), "count": GraphTensor("int64", (1,))},
            outputs={"y": GraphTensor("float32", ("size",))},
            weights={},
            sizes={"rows": rows, "size": size},
        )

    check(max(found))
    with pytest.raises(ValueError, match="its output y is not that of the model"):
        check(max(found) - 1)


# A tensor that is largest with the most photos, one with the most states of a photo, and how often each is repeated
# for it to be too large.
LARGEST = {
    "photos": (["Expand features times t"], 600),
    "states": (["Transpose hidden a", "MatMul hidden a b", "Expand b times t"], 9000),
}


@pytest.mark.parametrize("name", LARGEST)
def test_a_step_is_bounded_for_many_hypotheses_of_one_photo_and_for_several_photos(name):
    info = read_info(DEFAULT_CHECKPOINT)
    encoder, step = (array.tobytes() for array in read_tensors(info, [graph_name("int8", g) for g in GRAPHS]).values())
    lines, most = LARGEST[name]

    def check(times: int) -> None:
        model = ModelProto.FromString(step)
        graph = model.graph
        [maker] = [each for each in graph.node if "wanted_log_probabilities" in each.output]
        maker.output[:] = ["raw"]
        graph.initializer.append(integers("times", times, 1, 1, 1))
        for line in [*lines, "ReduceMax t r", "Add raw r wanted_log_probabilities"]:
            operator, *inputs, output = line.split()
            attributes = {"Transpose": {"perm": [0, 2, 1]}, "ReduceMax": {"keepdims": 0}}.get(operator, {})
            graph.node.append(node(operator, inputs, [output], **attributes))
        check_model_graphs(info, encoder=encoder, step=model.SerializeToString())

    check(most // 10)
    with pytest.raises(ValueError, match="it takes too much memory"):
        check(most)
