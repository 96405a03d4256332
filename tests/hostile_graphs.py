"""Graphs that are well-formed and hostile, by kind: those that ask for what no graph of this project has.

They are made for a model that takes `x` (rows, 16) and gives `y` of the same shape with a weight `w` (16, 16).
"""

from collections.abc import Iterable, Iterator
from random import Random

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

from captioning.checkpoint import WEIGHTS_PLACE
from captioning.graph_check import GraphTensor
from captioning.graph_check.operators import RULES

WIDTH = 16
ENDS = {
    "inputs": {"x": GraphTensor("float32", ("rows", WIDTH))},
    "outputs": {"y": GraphTensor("float32", ("rows", WIDTH))},
}
CONTRACT = {**ENDS, "weights": {"w": GraphTensor("float32", (WIDTH, WIDTH))}, "sizes": {"rows": 128}}

ODD = (0, -1, 7, 2**15, 2**31, 2**62, -(2**63))

node = helper.make_node


def integers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def numbers(name: str, array: object) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, np.float32), name)


def external(name: str = "w", dims: Iterable[int] = (WIDTH, WIDTH), kind: int = TensorProto.FLOAT, **place: str):
    tensor = TensorProto(name=name, dims=dims, data_type=kind, data_location=TensorProto.EXTERNAL)
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def values(name: str, shape: Iterable[int | str] = ("rows", WIDTH), kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(*nodes: NodeProto, tensors: Iterable[TensorProto] = (), ends=None, opset: int = 20, **fields) -> ModelProto:
    inputs, outputs = ends or ([values("x")], [values("y")])
    graph = helper.make_graph(list(nodes), "graph", inputs, outputs, list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **fields)


def used(name: str) -> list[NodeProto]:
    """Nodes that make y of x and all numbers of a tensor."""
    return [node("ReduceMax", [name], ["most"], keepdims=0), node("Add", ["x", "most"], ["y"])]


def other_operators(random: Random) -> Iterator[ModelProto]:
    """What no graph of this project uses: loops, branches, random numbers, text, sequences, …"""
    schemas = sorted({s.name: s for s in defs.get_all_schemas() if not s.domain and s.name not in RULES}.items())
    for name, schema in random.sample(schemas, 60):
        count = max(schema.min_input, 1)
        yield model(node(name, ["x"] * count, ["t"]), node("Add", ["x", "t"], ["y"]))


def other_domains(random: Random) -> Iterator[ModelProto]:
    names = ["com.microsoft", "ai.onnx.ml", "ai.onnx.training", "com.microsoft.nchwc", "com.evil", "ai.onnx", "\u202e"]
    for domain in names:
        for operator in ("Gelu", "FusedMatMul", "CastMap", "Conv", "Relu"):
            hostile = model(node(operator, ["x"], ["y"], domain=domain))
            hostile.opset_import.add(domain=domain, version=random.choice([1, 2, 3]))
            yield hostile
    for opset in (0, 1, 7, 17, 24, 99, 2**31):
        yield model(node("Relu", ["x"], ["y"]), opset=opset)
    yield model(node("Relu", ["x"], ["y"], domain="com.microsoft"))


def external_data(random: Random) -> Iterator[ModelProto]:
    """Files of the machine, of the working folder, and memory of the process."""
    product = node("MatMul", ["x", "w"], ["y"])
    places = ["/etc/passwd", "/etc/hostname", "/dev/zero", "/proc/self/mem", "file:///etc/passwd", "../../etc/passwd",
              "README.md", "./README.md", "", ".", "a\0b", "*/_ORT_MEM_ADDR_/*", f"{WEIGHTS_PLACE}/../x"]  # fmt: skip
    for location in places:
        yield model(product, tensors=[external(location=location)])
        yield model(product, tensors=[external(location=location, offset=str(random.getrandbits(32)), length="1024")])
        constant = node("Constant", [], ["w"], value=external(location=location))
        yield model(constant, product)
    for wrong in (
        external(location=WEIGHTS_PLACE, offset="4096"),
        external(),
        external(dims=(WIDTH, 2 * WIDTH), location=WEIGHTS_PLACE),
        external(dims=(2**40, WIDTH), location=WEIGHTS_PLACE),
        external(dims=(-WIDTH, -WIDTH), location=WEIGHTS_PLACE),
        external(kind=TensorProto.DOUBLE, location=WEIGHTS_PLACE),
        external(kind=TensorProto.STRING, location=WEIGHTS_PLACE),
    ):
        yield model(product, tensors=[wrong])
    yield model(node("MatMul", ["x", "v"], ["y"]), tensors=[external("v", location=WEIGHTS_PLACE)])
    yield model(node("Constant", [], ["w"], value=external(location=WEIGHTS_PLACE)), product)


def control_flow(random: Random) -> Iterator[ModelProto]:
    """Loops that never end, in attributes and functions."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["more"]), node("Identity", ["a"], ["b"])],
        "body",
        [values("i", (), TensorProto.INT64), values("go", (), TensorProto.BOOL), values("a")],
        [values("more", (), TensorProto.BOOL), values("b")],
    )
    true = helper.make_tensor("true", TensorProto.BOOL, (), [True])
    yield model(node("Loop", ["", "true", "x"], ["y"], body=body), tensors=[true])
    yield model(node("Loop", ["", "", "x"], ["y"], body=body))
    yield model(node("If", ["true"], ["y"], then_branch=body, else_branch=body), tensors=[true])
    yield model(node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1))
    for operator in ("Relu", "Identity", "Constant", "Clip", "Softmax"):
        yield model(node(operator, ["x"], ["y"], body=body))
        several = node(operator, ["x"], ["y"])
        several.attribute.add(name="axis", type=AttributeProto.GRAPHS).graphs.append(body)
        yield model(several)
    for depth in (2, 10, 20):
        nested = body
        for _ in range(depth):
            nested = helper.make_graph([node("If", ["go"], ["b"], then_branch=nested)], "deeper", [], [values("b")])
        yield model(node("Relu", ["x"], ["y"], body=nested))
    for domain, name in (("local", "F"), ("", "Relu"), ("com.microsoft", "MatMulNBits"), ("local", "Relu")):
        called = node(name, ["x"], ["y"], domain=domain)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
        calls = [node(name, ["x"], ["y"], domain=domain)]
        function = helper.make_function(domain, name, ["x"], ["y"], calls, opsets)
        hostile = model(called, functions=[function])
        hostile.opset_import.add(domain="local", version=1)
        yield hostile
        hostile = model(node("Relu", ["x"], ["y"]), functions=[function])
        yield hostile


def wrong_ends(random: Random) -> Iterator[ModelProto]:
    """Inputs and outputs that are not those of the model."""
    x, y, relu = values("x"), values("y"), node("Relu", ["x"], ["y"])
    wrong = [
        values("z"),
        values("x", ("rows", 17)),
        values("x", ("rows",)),
        values("x", ("rows", 16, 1)),
        values("x", (128, 16)),
        values("x", ("rows", "columns")),
        values("x", ("rows", -1)),
        values("x", ("rows", None)),
        values("x", ("rows", 2**62)),
        values("x", None),
        values("x", kind=TensorProto.DOUBLE),
        values("x", kind=TensorProto.STRING),
        values("x", kind=77),
        helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ("rows", 16)),
        helper.make_sparse_tensor_value_info("x", TensorProto.FLOAT, ("rows", 16)),
        helper.make_value_info("x", helper.make_optional_type_proto(x.type)),
        helper.make_value_info("x", helper.make_map_type_proto(TensorProto.INT64, x.type)),
    ]
    for value in wrong:
        output = type(value)()
        output.CopyFrom(value)
        output.name = {"x": "y"}.get(value.name, value.name)
        yield model(relu, ends=([value], [y]))
        yield model(relu, ends=([x], [output]))
    for inputs, outputs in (([], [y]), ([x], []), ([x, x], [y]), ([x], [y, y]), ([x, values("z")], [y]), ([y], [x])):
        yield model(relu, ends=(inputs, outputs))
    for makes in ("Shape", "Transpose", "Flatten", "ReduceMax", "Identity"):
        yield model(node(makes, ["x"], ["t"]), ends=([x], [y]))
        yield model(node(makes, ["x"], ["t"]), node("Cast", ["t"], ["y"], to=TensorProto.INT64))


def disorder(random: Random) -> Iterator[ModelProto]:
    """Circles, names that are used twice or not made, outputs that nobody reads."""
    relu = node("Relu", ["x"], ["y"])
    yield model(node("Relu", ["y"], ["y"]))
    yield model(node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"]), node("Add", ["x", "b"], ["y"]))
    yield model(node("Relu", ["a"], ["y"]), node("Relu", ["x"], ["a"]))
    yield model(relu, relu)
    yield model(node("Relu", ["x"], ["x"]), relu)
    yield model(relu, node("Relu", ["x"], ["unused"]))
    yield model(node("Relu", ["nothing"], ["y"]))
    yield model(node("Relu", [""], ["y"]))
    yield model(node("Relu", [], ["y"]))
    yield model(node("Relu", ["x"], [""]))
    yield model(node("Relu", ["x"], []))
    yield model(node("Relu", ["x"], ["y", "z"]))
    yield model(node("Relu", ["x", "x"], ["y"]))
    yield model(relu, tensors=[numbers("x", np.zeros((4, WIDTH)))])
    yield model(relu, tensors=[numbers("y", np.zeros((4, WIDTH)))])
    yield model(node("Add", ["x", "t"], ["y"]), tensors=[numbers("t", [1]), numbers("t", [2])])
    yield model(relu, tensors=[numbers("", [1])])
    for length in (3, 100):
        names = [f"t{i}" for i in range(length)]
        chain = [node("Relu", [a], [b]) for a, b in zip(names, [*names[1:], names[0]], strict=True)]
        yield model(*chain, node("Add", ["x", "t0"], ["y"]))


def other_fields(random: Random) -> Iterator[bytes]:
    """Parts of a graph that no graph of this project has, and bytes that are no part."""
    relu = node("Relu", ["x"], ["y"])
    changes = [
        lambda m: m.training_info.add(),
        lambda m: m.metadata_props.add(key="ort_config", value='{"session_options": {}}'),
        lambda m: m.graph.sparse_initializer.add().dims.append(2**40),
        lambda m: m.graph.quantization_annotation.add(tensor_name="x"),
        lambda m: m.graph.value_info.append(values("t", (1,))),
        lambda m: m.graph.node[0].metadata_props.add(key="a", value="b"),
        lambda m: setattr(m, "doc_string", "d"),
        lambda m: setattr(m.graph.node[0], "overload", "o"),
        lambda m: m.graph.node[0].device_configurations.add(configuration_id="c"),
        lambda m: m.configuration.add(name="c", num_devices=2**30),
        lambda m: setattr(m.graph.input[0].type, "denotation", "IMAGE"),
        lambda m: m.graph.initializer.add(name="t", data_type=1, dims=[2], float_data=[1.0, 2.0]),
        lambda m: m.graph.initializer.add(name="t", data_type=8, dims=[1], string_data=[b"s"]),
        lambda m: m.graph.initializer.add(name="t", data_type=1, dims=[2**33, 2**33], raw_data=b""),
        lambda m: m.graph.initializer.add(name="t", data_type=1, dims=[4], raw_data=b"abc"),
    ]
    for change in changes:
        changed = model(relu)
        change(changed)
        yield changed.SerializeToString()
    whole = model(relu).SerializeToString()
    yield from (whole.replace(text, b"\xff" * len(text)) for text in (b"Relu", b"graph", b"rows"))
    unknown = [b"\xfa\x7f\x01a", b"\xc2\x3e\x00", b"\x0a", b"\xff" * 9, b"\x00" * 2**20, b"\x0b" * 1000]
    yield from (whole + extra for extra in unknown)
    yield from (b"", whole[:-1], whole[1:], whole + whole, b"PK\3\4", b"ORTM" + whole, b"\x3a\xff\xff\xff\xff\x07")


def changed_nodes(random: Random, real: bytes, count: int) -> Iterator[ModelProto]:
    """A real graph with some of its nodes, attributes and numbers changed."""
    for _ in range(count):
        changed = ModelProto.FromString(real)
        nodes, names = changed.graph.node, [name for each in changed.graph.node for name in each.output]
        for _ in range(random.randint(1, 3)):
            chosen = random.choice(nodes)
            change = random.randrange(5)
            if change == 0:
                chosen.op_type = random.choice(sorted(RULES))
            elif change == 1 and chosen.input:
                chosen.input[random.randrange(len(chosen.input))] = random.choice(names)
            elif change == 2:
                for attribute in chosen.attribute:
                    attribute.i = random.choice(ODD)
                    attribute.ints[:] = [random.choice([*ODD, number]) for number in attribute.ints]
            elif change == 3:
                nodes.remove(chosen)
            else:
                inline = [tensor for tensor in changed.graph.initializer if tensor.raw_data]
                tensor = random.choice(inline)
                tensor.raw_data = random.randbytes(len(tensor.raw_data))
        yield changed


def changed_bytes(random: Random, real: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        changed = bytearray(real)
        for _ in range(random.choice([1, 1, 2, 8])):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        yield bytes(changed)
