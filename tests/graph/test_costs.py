from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from graphopt.graph.costs import Call, Cost, Costs, Operand, cost, feed_sizes
from graphopt.graph.facts import Facts
from graphopt.graph.load import from_proto
from graphopt.graph.model import Model
from graphopt.graph.stats import stats
from tests.graph.protos import parse

Shapes = list[Any]


def macs(operator: str, inputs: Shapes, outputs: Shapes, domain: str = "", **attributes: Any) -> int | None:
    read, written = (
        tuple(None if each is None else Operand(tuple(each)) for each in some) for some in (inputs, outputs)
    )
    found = cost(Call(operator, read, written, attributes, domain))
    return None if found is None else found.macs


CASES: list[tuple[str, int, str, Shapes, Shapes, dict[str, Any]]] = [
    ("conv", 64 * 112 * 112 * 3 * 49, "Conv", [(1, 3, 224, 224), (64, 3, 7, 7)], [(1, 64, 112, 112)], {}),
    ("depthwise", 2 * 8 * 64 * 9, "Conv", [(2, 8, 10, 10), (8, 1, 3, 3), (8,)], [(2, 8, 8, 8)], {"group": 8}),
    ("transposed", 100 * 6 * 4, "ConvTranspose", [(1, 4, 5, 5), (4, 6, 2, 2)], [(1, 6, 10, 10)], {"strides": [2, 2]}),
    ("transposed, grouped", 100 * 3, "ConvTranspose", [(1, 4, 5, 5), (4, 3, 1, 1)], [(1, 6, 5, 5)], {"group": 2}),
    ("integer conv", 5 * 4 * 18, "ConvInteger", [(1, 2, 4, 4), (5, 2, 3, 3)], [(1, 5, 2, 2)], {}),
    (
        "quantized conv",
        5 * 4 * 18,
        "QLinearConv",
        [(1, 2, 4, 4), (), (), (5, 2, 3, 3), (), (), (), ()],
        [(1, 5, 2, 2)],
        {},
    ),
    ("gemm", 3 * 4 * 5, "Gemm", [(3, 4), (4, 5), (5,)], [(3, 5)], {}),
    ("gemm, both turned", 3 * 4 * 5, "Gemm", [(4, 3), (5, 4)], [(3, 5)], {"transA": 1, "transB": 1}),
    ("matmul", 2 * 3 * 4 * 5, "MatMul", [(2, 3, 4), (4, 5)], [(2, 3, 5)], {}),
    ("dot product", 4, "MatMul", [(4,), (4,)], [()], {}),
    ("integer matmul", 3 * 4 * 5, "MatMulInteger", [(3, 4), (4, 5)], [(3, 5)], {}),
    ("quantized matmul", 3 * 4 * 5, "QLinearMatMul", [(3, 4), (), (), (4, 5), (), (), (), ()], [(3, 5)], {}),
    (
        "einsum",
        2 * 3 * 4 * 5 * 6,
        "Einsum",
        [(2, 3, 4, 5), (2, 3, 6, 5)],
        [(2, 3, 4, 6)],
        {"equation": "bhid,bhjd->bhij"},
    ),
    (
        "einsum of three",
        2 * 3 * 4 + 2 * 4 * 5,
        "Einsum",
        [(2, 3), (3, 4), (4, 5)],
        [(2, 5)],
        {"equation": "ij,jk,kl->il"},
    ),
    ("einsum, implicit", 2 * 3 * 4, "Einsum", [(2, 3), (3, 4)], [(2, 4)], {"equation": "ij,jk"}),
    (
        "einsum, broadcast",
        7 * 2 * 3 * 4,
        "Einsum",
        [(7, 2, 3), (1, 3, 4)],
        [(7, 2, 4)],
        {"equation": "...ij,...jk->...ik"},
    ),
    ("diagonal", 0, "Einsum", [(3, 3)], [(3,)], {"equation": "ii->i"}),
    ("lstm", 7 * 2 * (16 * 3 + 16 * 4), "LSTM", [(7, 2, 3), (1, 16, 3), (1, 16, 4)], [(7, 1, 2, 4)], {}),
    ("gru, both ways", 7 * 2 * 2 * (12 * 3 + 12 * 4), "GRU", [(7, 2, 3), (2, 12, 3), (2, 12, 4)], [(7, 2, 2, 4)], {}),
    ("rnn", 7 * 2 * (4 * 3 + 4 * 4), "RNN", [(7, 2, 3), (1, 4, 3), (1, 4, 4)], [(7, 1, 2, 4)], {}),
    ("attention", 2 * 3 * 5 * 6 * (8 + 4), "Attention", [(2, 3, 5, 8), (2, 3, 6, 8), (2, 3, 6, 4)], [(2, 3, 5, 4)], {}),
    (
        "attention with a past",
        2 * 3 * 5 * (6 + 10) * (8 + 4),
        "Attention",
        [(2, 5, 24), (2, 6, 24), (2, 6, 12), None, (2, 3, 10, 8), (2, 3, 10, 4)],
        [(2, 5, 12)],
        {},
    ),
]


@pytest.mark.parametrize(
    ("expected", "operator", "inputs", "outputs", "attributes"),
    [each[1:] for each in CASES],
    ids=[each[0] for each in CASES],
)
def test_macs_by_hand(
    expected: int, operator: str, inputs: Shapes, outputs: Shapes, attributes: dict[str, Any]
) -> None:
    assert macs(operator, inputs, outputs, **attributes) == expected


def test_macs_of_operators_of_the_runtime_by_hand() -> None:
    ms = "com.microsoft"
    assert macs("MatMulNBits", [(2, 7, 32), (10, 1, 16), (10,)], [(2, 7, 10)], ms, K=32, N=10) == 14 * 10 * 32
    assert macs("FusedMatMul", [(6, 4, 3), (6, 4, 5)], [(6, 3, 5)], ms, transA=1) == 6 * 3 * 5 * 4
    assert macs("FusedConv", [(1, 2, 4, 4), (5, 2, 3, 3)], [(1, 5, 2, 2)], ms, activation="Relu") == 360
    assert macs("Attention", [(2, 5, 8), (8, 24), (24,)], [(2, 5, 8)], ms) == 10 * 8 * 24 + 2 * (2 * 5 * 5 * 8)
    assert macs("MultiHeadAttention", [(2, 5, 8), (2, 6, 8), (2, 6, 8)], [(2, 5, 8)], ms) == 2 * (2 * 5 * 6 * 8)
    grouped = [(2, 1, 16), (2, 1, 8), (2, 1, 8), (2, 2, 9, 4), (2, 2, 9, 4)]
    assert macs("GroupQueryAttention", grouped, [(2, 1, 16), (2, 2, 10, 4), (2, 2, 10, 4)], ms) == 2 * 2 * 10 * 16


class Counting:
    """A number that counts how often it is multiplied."""

    count = 0

    def __mul__(self, _: Counting) -> Counting:
        Counting.count += 1
        return self

    def __add__(self, _: Counting) -> Counting:
        return self


def counting(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    array = np.empty(shape, object)
    for index in np.ndindex(shape):
        array[index] = Counting()
    return array


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (3, 4, 2)), ((3, 4), (4,))]
)
def test_macs_of_matmul_against_multiplications_that_are_done(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    Counting.count = 0
    result = np.matmul(counting(a), counting(b))
    assert macs("MatMul", [a, b], [np.shape(result)]) == Counting.count > 0


@pytest.mark.parametrize("group", [1, 2, 4])
def test_macs_of_conv_against_multiplications_that_are_done(group: int) -> None:
    c, m, k, size = 4, 8, 3, 6
    x, w = counting((2, c, size + 2, size + 2)), counting((m, c // group, k, k))
    Counting.count = 0
    for n, o, i, j in itertools.product(range(2), range(m), range(size), range(size)):
        first = o // (m // group) * (c // group)
        _ = x[n, first : first + c // group, i : i + k, j : j + k] * w[o]
    assert macs("Conv", [(2, c, size, size), w.shape], [(2, m, size, size)], group=group) == Counting.count


def conv(nodes: list[Any], inputs: list[Any], x: str, shape: tuple[int, int], kernel: int, stride: int = 1) -> str:
    y = f"c{len(nodes)}"
    inputs.append(helper.make_tensor_value_info(f"w{y}", TensorProto.FLOAT, [shape[1], shape[0], kernel, kernel]))
    pads = [kernel // 2] * 4
    nodes.append(helper.make_node("Conv", [x, f"w{y}"], [y], pads=pads, strides=[stride, stride]))
    return y


def resnet(depths: tuple[int, ...], *, bottleneck: bool) -> Model:
    """Build a ResNet for 224 x 224 images out of its convolutions, additions and last layer; weights are inputs."""
    nodes: list[Any] = []
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 224, 224])]
    x = conv(nodes, inputs, "x", (3, 64), 7, 2)
    nodes.append(helper.make_node("MaxPool", [x], ["pool"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]))
    x, channels = "pool", 64
    for at, depth in enumerate(depths):
        width = 64 << at
        out = width * 4 if bottleneck else width
        for block in range(depth):
            stride = 2 if at and not block else 1
            y = conv(nodes, inputs, x, (channels, width), 1) if bottleneck else x
            y = conv(nodes, inputs, y, (width if bottleneck else channels, width), 3, stride)
            y = conv(nodes, inputs, y, (width, out), 1 if bottleneck else 3)
            skip = x if channels == out and stride == 1 else conv(nodes, inputs, x, (channels, out), 1, stride)
            nodes.append(helper.make_node("Add", [y, skip], [f"a{len(nodes)}"]))
            x, channels = nodes[-1].output[0], out
    inputs.append(helper.make_tensor_value_info("fc", TensorProto.FLOAT, [channels, 1000]))
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "fc"], ["y"]))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1000])
    graph = helper.make_graph(nodes, "g", inputs, [output])
    return from_proto(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]))


@pytest.mark.parametrize(
    ("depths", "bottleneck", "published"), [((2, 2, 2, 2), False, 1.814e9), ((3, 4, 6, 3), True, 4.089e9)]
)
def test_macs_of_resnets_are_the_published_ones(depths: tuple[int, ...], bottleneck: bool, published: float) -> None:
    """torchvision gives 1.814 and 4.089 GFLOPS, in multiply-accumulates, for ResNet-18 and ResNet-50."""
    model = resnet(depths, bottleneck=bottleneck)
    for batch in (1, 3):
        found = Costs(Facts(model), {"n": batch}).macs(model)
        assert found is not None
        assert round(found / batch / 1e6) == published / 1e6


def test_sizes_come_from_the_feed() -> None:
    model = from_proto(parse("g (float[n, 4] x, float[4, k] w) => (float[n, k] y) { y = MatMul(x, w) }"))
    facts = Facts(model)
    sizes = feed_sizes(model, facts, {"x": (7, 4), "w": (4, 5)})
    assert sizes == {"n": 7, "k": 5}
    assert Costs(facts, sizes).macs(model) == 7 * 4 * 5
    assert Costs(facts, {"n": 7}).macs(model) is None
    assert stats(model, facts).macs == 4


def test_unnamed_sizes_come_from_the_feed_too() -> None:
    model = from_proto(parse("g (float[?, 4] x, float[4, ?] w) => (float[?, ?] y) { y = MatMul(x, w) }"))
    facts = Facts(model)
    assert Costs(facts, feed_sizes(model, facts, {"x": (7, 4), "w": (4, 5)})).macs(model) == 7 * 4 * 5


def test_flops_and_bytes_by_hand() -> None:
    x, row = Operand((2, 3, 4)), Operand((4,))
    assert cost(Call("Add", (x, row), (x,))) == Cost(0, 24, (24 + 4 + 24) * 4)
    assert cost(Call("Softmax", (x,), (x,))) == Cost(0, 5 * 24, 48 * 4)
    product = Call("Gemm", (Operand((2, 3)), Operand((3, 4)), row), (Operand((2, 4)),))
    assert cost(product) == Cost(24, 2 * 24 + 8, (6 + 12 + 4 + 8) * 4)
    pooled = Call("MaxPool", (Operand((1, 1, 4, 4)),), (Operand((1, 1, 2, 2)),), {"kernel_shape": [2, 2]})
    assert cost(pooled) == Cost(0, 4 * 4, 20 * 4)


def test_views_move_nothing_and_parts_move_twice() -> None:
    table, rows = Operand((1000, 8)), Operand((2, 8))
    assert cost(Call("Gather", (table, Operand((2,), 64)), (rows,))) == Cost(0, 0, 2 * 64 + 16)
    assert cost(Call("Slice", (table,), (rows,))) == Cost(0, 0, 2 * 64)
    assert cost(Call("Reshape", (table, Operand((1,), 64)), (Operand((8000,)),))) == Cost(0, 0, 0)
    assert cost(Call("Transpose", (rows,), (Operand((8, 2)),))) == Cost(0, 0, 2 * 64)
    assert cost(Call("Cast", (Operand((3,), 4),), (Operand((3,), 32),))) == Cost(0, 0, 2 + 12)


@pytest.mark.parametrize("domain", ["my.own", ""])
def test_what_is_not_known_is_not_counted(domain: str) -> None:
    operator = "Conv" if domain else "NoSuchOperator"
    assert cost(Call(operator, (Operand((1,)),), (Operand((1,)),), {}, domain)) is None
    assert cost(Call("MatMul", (None, Operand((4, 5))), (Operand((3, 5)),))) is None


def test_recurrent_and_quantized_products_count_in_a_model() -> None:
    model = from_proto(
        parse(
            "g (float[7, 2, 3] x, float[1, 16, 3] w, float[1, 16, 4] r) => (float[7, 1, 2, 4] y)"
            " { y = LSTM<hidden_size = 4>(x, w, r) }"
        )
    )
    assert stats(model, Facts(model)).macs == 14 * (48 + 64)


def test_an_operand_of_unknown_size_leaves_the_cost_open() -> None:
    text = "g (float[4] x, bool[4] keep) => (float[m] y) { t = Compress(x, keep) y = Relu(t) }"
    model = from_proto(parse(text))
    costs = Costs(Facts(model), {})
    assert [costs.of(node) for node in model.graph] == [None, None]
