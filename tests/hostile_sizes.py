"""Graphs that are well-formed and hostile, by kind: those that take too much memory or time, or fit no kernel."""

from collections.abc import Iterator
from random import Random

import numpy as np
from onnx import ModelProto, TensorProto

from captioning.checkpoint import WEIGHTS_PLACE
from tests.hostile_graphs import ODD, WIDTH, external, integers, model, node, numbers, used

HUGE = (2**20, 2**31, 2**40, 2**62, 2**63 - 1)
WINDOWS = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1]}


def constant_bombs(random: Random) -> Iterator[ModelProto]:
    """A few bytes that the runtime makes gigabytes of while it loads."""
    for size in HUGE:
        one = numbers("one", [1])
        repeat = node("ConstantOfShape", ["shape"], ["t"], value=one)
        yield model(repeat, *used("t"), tensors=[integers("shape", size)])
        yield model(repeat, *used("t"), tensors=[integers("shape", *[max(2, round(size ** (1 / 4)))] * 4)])
        yield model(node("Expand", ["one", "shape"], ["t"]), *used("t"), tensors=[one, integers("shape", size)])
        yield model(node("Pad", ["one", "pads"], ["t"]), *used("t"), tensors=[one, integers("pads", 0, size)])
        count = [integers("first", 0), integers("last", size), integers("step", 1)]
        for tensor in count:
            tensor.ClearField("dims")
        cast = node("Cast", ["r"], ["t"], to=TensorProto.FLOAT)
        yield model(node("Range", ["first", "last", "step"], ["r"]), cast, *used("t"), tensors=count)
        tile = node("Tile", ["one", "shape"], ["t"])
        yield model(tile, *used("t"), tensors=[one, integers("shape", size)])
        hot = node("OneHot", ["zero", "depth", "pair"], ["t"])
        tensors = [integers("zero", 0), integers("depth", size), numbers("pair", [0, 1])]
        yield model(hot, *used("t"), tensors=tensors)
    for _ in range(10):
        length = random.randint(20, 200)
        chain = [node("Concat", [f"t{i}"] * 2, [f"t{i + 1}"], axis=0) for i in range(length)]
        yield model(*chain, *used(f"t{length}"), tensors=[numbers("t0", [1])])
        chain = [node("Mul", [f"s{i}"] * 2, [f"s{i + 1}"]) for i in range(length // 10)]
        expand = node("Expand", ["one", f"s{length // 10}"], ["t"])
        yield model(*chain, expand, *used("t"), tensors=[one, integers("s0", 4)])


def growing_outputs(random: Random) -> Iterator[ModelProto]:
    """What grows with the input, or is largest where the input is smallest."""
    shape = node("Shape", ["x"], ["shape"])
    one = numbers("one", [1])
    expand = node("Expand", ["one", "size"], ["t"])
    for operator, number in (
        ("Sub", 2**40),
        ("Div", 2**40),
        ("Mod", 2**40),
        ("BitShift", 40),
        ("Pow", 9),
        ("Mul", 2**30),
    ):
        constants = [one, integers("number", number, number)]
        yield model(shape, node(operator, ["number", "shape"], ["size"]), expand, *used("t"), tensors=constants)
        yield model(shape, node(operator, ["shape", "number"], ["size"]), expand, *used("t"), tensors=constants)
    for low in (-1, -127, -(2**40)):
        difference = node("Add", ["shape", "low"], ["d"])
        product = node("Mul", ["d", "d"], ["size"])
        yield model(shape, difference, product, expand, *used("t"), tensors=[one, integers("low", low, low)])
    data = node("Cast", ["x"], ["whole"], to=TensorProto.INT64)
    flat = node("Reshape", ["whole", "all"], ["size"])
    for operator, inputs in (("Expand", ["one", "size"]), ("ConstantOfShape", ["size"]), ("Tile", ["one", "size"])):
        yield model(data, flat, node(operator, inputs, ["t"]), *used("t"), tensors=[one, integers("all", -1)])
    for _ in range(12):
        cells = [node("Reshape", ["x", "column"], ["c0"]), node("Reshape", ["x", "row"], ["r0"])]
        grow = []
        for step in range(random.randint(1, 5)):
            grow += [node(random.choice(["Add", "Mul", "MatMul"]), [f"c{step}", f"r{step}"], [f"p{step}"])]
            grow += [node("Reshape", [f"p{step}", end], [f"{end[0]}{step + 1}"]) for end in ("column", "row")]
        last = [node("Add", [f"c{step + 1}", f"r{step + 1}"], ["t"]), *used("t")]
        yield model(*cells, *grow, *last, tensors=[integers("column", -1, 1), integers("row", 1, -1)])


def long_and_large(random: Random) -> Iterator[ModelProto]:
    """Many nodes, many inputs, long names and lists."""
    for length in (1_000, 7_000, 20_000):
        for operator in ("Relu", "Identity", "Exp"):
            chain = [node(operator, [f"t{i}" if i else "x"], [f"t{i + 1}"]) for i in range(length)]
            yield model(*chain, node("Relu", [f"t{length}"], ["y"]))
    for count in (3_000, 30_000):
        yield model(node("Concat", ["x"] * count, ["t"], axis=0), *used("t"))
        yield model(node("Max", ["x"] * count, ["y"]))
        yield model(*(node("Exp", ["x"], [f"t{i}"]) for i in range(count // 5)),
                    node("Max", [f"t{i}" for i in range(count // 5)], ["y"]))  # fmt: skip
        yield model(node("Split", ["x"], [f"t{i}" for i in range(count)], num_outputs=count), *used("t0"))
    name = "n" * 2**18
    yield model(node("Relu", ["x"], [name]), node("Relu", [name], ["y"]))
    yield model(node(name, ["x"], ["y"]))
    yield model(node("Relu", ["x"], ["y"], **{name: 1}))
    yield model(node("Relu", ["x"], ["y"], domain=name))
    for value in ("s" * 2**19, [1] * 100_000, [1.0] * 100_000, numbers("", np.zeros(2**17)), ["a"] * 100_000):
        for operator in ("Constant", "Gelu", "Transpose"):
            yield model(node(operator, ["x"], ["y"], perm=value, value=value, approximate=value))
    yield model(node("Add", ["x", "t"], ["y"]), tensors=[numbers("t", np.zeros((2**19,)))])
    yield model(node("Add", ["x", "t"], ["y"]), tensors=[external("t", [1] * 5_000, location=WEIGHTS_PLACE)])
    yield model(node("Add", ["x", "t"], ["y"]), tensors=[external("t", [2**62] * 100_000, location=WEIGHTS_PLACE)])
    shapes = [node("Concat", ["t"] * 30_000, ["u"], axis=0), node("Reshape", ["x", "u"], ["y"])]
    yield model(*shapes, tensors=[integers("t", *[1] * 64)])
    yield model(node("Reshape", ["x", "t"], ["y"]), tensors=[integers("t", *[1] * 5_000)])
    yield model(node("Unsqueeze", ["x", "t"], ["u"]), *used("u"), tensors=[integers("t", *range(60))])


def odd_attributes(random: Random) -> Iterator[ModelProto]:
    """Windows, axes and counts that no kernel expects."""
    image = node("Reshape", ["x", "image"], ["i"])
    tensors = [integers("image", -1, 1, 4, 4), numbers("k", np.ones((1, 1, 3, 3)))]
    back = [node("ReduceMax", ["c"], ["most"], keepdims=0), node("Add", ["x", "most"], ["y"])]
    for operator, inputs in (("Conv", ["i", "k"]), ("MaxPool", ["i"]), ("AveragePool", ["i"])):
        for name, usual in WINDOWS.items():
            for odd in random.sample(ODD, 3):
                for changed in ([odd] * len(usual), [*usual[:-1], odd], [odd] * 9):
                    attributes = {**WINDOWS, name: changed}
                    yield model(image, node(operator, inputs, ["c"], **attributes), *back, tensors=tensors)
    for odd in ODD:
        group = node("Conv", ["i", "k"], ["c"], group=odd)
        yield model(image, group, *back, tensors=tensors)
        yield model(node("Softmax", ["x"], ["y"], axis=odd))
        yield model(node("Transpose", ["x"], ["c"], perm=[0, odd]), *back)
        yield model(node("Split", ["x"], ["c", "d"], axis=1, num_outputs=odd), *back)
        yield model(node("Concat", ["x", "x"], ["c"], axis=odd), *back)
        yield model(node("Gather", ["x", "k"], ["c"], axis=odd), *back, tensors=[integers("k", odd)])
        yield model(node("Unsqueeze", ["x", "k"], ["c"]), *back, tensors=[integers("k", odd)])
        yield model(node("TopK", ["x", "k"], ["c", "d"]), *back, tensors=[integers("k", odd)])
        yield model(node("Reshape", ["x", "k"], ["c"]), *back, tensors=[integers("k", odd, -1)])
        yield model(node("Cast", ["x"], ["c"], to=odd), node("Cast", ["c"], ["y"], to=1))


def slow_shapes(random: Random) -> Iterator[ModelProto]:
    """What the runtime takes long for though little comes of it, from small to large."""
    for power in (12, 16, 20, 24):
        size = 2**power
        many = [node("Expand", ["x", "more"], ["e"]), node("Reshape", ["e", "shape"], ["t0"])]

        def repeat(shape: list[int], operator: str, *extra: str, many=many, size=size, tensors=(), **attributes):
            """Three times an operator on a tensor of this shape; x is taken from its first row."""
            steps = [node(operator, [f"t{i}", *extra], [f"t{i + 1}"], **attributes) for i in range(3)]
            first = node("Slice", ["x", "zero", "one"], ["row"])
            rest = [node("Expand", ["row", "more"], ["e"]), *many[1:], *steps, *used("t3")]
            shapes = [integers("more", size // WIDTH, WIDTH), integers("shape", *shape)]
            return model(first, *rest, tensors=[*shapes, integers("zero", 0), integers("one", 1), *tensors])

        yield repeat([size, 1, 1], "MatMul", "t0")
        yield repeat([size // 16, 4, 4], "MatMul", "t0")
        yield repeat([size, 1], "Softmax", axis=-1)
        yield repeat([16, size // 16], "Softmax", axis=0)
        yield repeat([size // 256, 16, 16], "LogSoftmax", axis=1)
        yield repeat([size], "Pow", "t0")
        yield repeat([size], "Softplus")
        yield repeat([size // 256, 256, 1, 1], "Conv", "k", group=256, tensors=[numbers("k", np.ones((256, 1, 1, 1)))])
        yield repeat([size // 4096, 64, 8, 8], "Conv", "k", group=32, pads=[1] * 4,
                     tensors=[numbers("k", np.ones((64, 2, 3, 3)))])  # fmt: skip
        yield repeat([1, 1, 64, size // 64], "MaxPool", kernel_shape=[31, 31], pads=[15] * 4)
        yield repeat([2] * 7 + [size // 128], "Transpose", perm=[6, 5, 4, 3, 2, 1, 0, 7])
        yield repeat([size // 4, 4], "Gather", "k", axis=1, tensors=[integers("k", 0, 1, 0, 1)])
