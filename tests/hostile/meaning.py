"""Legal models whose types, names or numbers invite a wrong rewrite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

from tests.hostile.case import Array, Case, chain, graph, named, random_of, strings, tensor, text

__all__ = ["CASES"]

HEAD = "g (float[2,3] x) => (float[2,3] y)"
IMAGE = "g (float[1,2,5,5] x) => (float[1,2,N,M] y)"


def typed(name: str, array: Array, opset: int = 21) -> Case:
    """Return the case of a constant of a rare type that is cast and added."""
    nodes = [helper.make_node("Cast", ["w"], ["f"], to=1), helper.make_node("Add", ["x", "f"], ["y"])]
    return named(f"type-{name}", "handle", graph(nodes, {"w": array}, opset=opset, ir=10))


def types() -> Iterator[Case]:
    """Use every kind of type that numpy does not know, and every kind of value that is no tensor."""
    data = np.array([[1.5, -2, 0.25], [3, 0, -1]])
    for kind in ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "int4"):
        yield typed(kind, data.astype(np.int8 if "int" in kind else np.float32).astype(getattr(ml_dtypes, kind)))
    yield typed("uint4-odd", np.array([1, 15, 7]).astype(ml_dtypes.uint4))
    yield typed("float4", data.astype(np.float32).astype(ml_dtypes.float4_e2m1fn), opset=23)
    yield typed("float16", data.astype(np.float16))
    words = graph([helper.make_node("StringNormalizer", ["s"], ["y"])], None, "string[3] s", "string[3] y")
    yield named("type-strings", "handle", words)
    texts = graph([helper.make_node("Identity", ["w"], ["y"])], None, "float[2,3] x", "string[2] y")
    texts.graph.initializer.append(strings("w", [b"caf\xc3\xa9", b"\xff\xfe\x00"]))
    yield named("type-string-not-utf8", "either", texts, same=False)
    pairs = np.array([[1 + 2j, 0, 1j], [3, -1, 2]], np.complex64)
    numbers = graph([helper.make_node("Identity", ["w"], ["y"])], {"w": pairs}, outputs="complex64[2,3] y")
    yield named("type-complex", "handle", numbers, same=False)
    sequence = "g (float[2,3] x) => (seq(float[2,3]) y) { n = Neg(x) y = SequenceConstruct(x, n, x) }"
    yield named("type-sequence", "handle", text(sequence))
    optional = "g (float[2,3] x) => (optional(float[2,3]) y) { n = Neg(x) y = Optional(n) }"
    yield named("type-optional", "handle", text(optional))
    mapped = graph(
        [helper.make_node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", int64_vocabulary=[1, 2])],
        outputs="float[1,2] y",
        domains=', "ai.onnx.ml" : 3',
    )
    mapped.graph.input[0].CopyFrom(
        helper.make_value_info("m", helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])))
    )
    yield named("type-map", "handle", mapped, same=False)
    yield named("type-sparse", "handle", sparse())
    yield named("type-sparse-indices-beyond", "reject", sparse(beyond=True))
    unranked = graph([helper.make_node("Neg", ["x"], ["y"])])
    for value in (*unranked.graph.input, *unranked.graph.output):
        value.type.tensor_type.ClearField("shape")
    yield named("type-without-rank", "handle", unranked, same=False)


def sparse(*, beyond: bool = False) -> onnx.ModelProto:
    """Return y = x + w with two values of w given."""
    model = graph([helper.make_node("Add", ["x", "w"], ["y"])])
    at = np.array([1, 99 if beyond else 5], np.int64)
    held = helper.make_sparse_tensor(tensor("w", np.array([2, -3], np.float32)), tensor("w_at", at), [2, 3])
    model.graph.sparse_initializer.append(held)
    return model


EVIL = {
    "escapes": "\x1b]0;title\x07\x1b[2J\x9b31m",
    "bidi": "a\u202ebda\u2066\u200f",
    "newlines": "a\r\nb\n\tc\x00d",
    "html": "<script>alert(1)</script>&\"'",
    "path": "../../../tmp/up/../x",
    "format": "%s%n{0}{x.__class__}$(id)`id`",
    "markup": "[bold red]x[/] [link=file:///]",
    "long": "n" * 70_000,
    "blank": " ",
    "surrogate-like": "\\ud800\U0010ffff",
}


def renamed(name: str) -> onnx.ModelProto:
    """Use `name` wherever a name of the user can stand."""
    model = text(f"{HEAD} <float[3] w = {{1, 2, 3}}> {{ a = Identity(x) b = Mul(a, w) c = Mul(b, w) y = Relu(c) }}")
    model.graph.name = model.producer_name = model.doc_string = name
    table = {value: f"{value}{name}" for value in ("x", "a", "b", "c", "y", "w")}
    for at, node in enumerate(model.graph.node):
        node.name = f"{name}{at}"
        node.input[:], node.output[:] = ([table[each] for each in side] for side in (node.input, node.output))
    held: list[Any] = [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for value in held:
        value.name = table[value.name]
    model.metadata_props.add(key=name, value=name)
    return model


def names() -> Iterator[Case]:
    """Carry what a terminal, a page, a path or a template would act on."""
    for kind, name in EVIL.items():
        yield named(f"name-{kind}", "handle", renamed(name), max_bytes=2_000_000)
    unknown = graph([helper.make_node(EVIL["escapes"], ["x"], ["y"], name=EVIL["bidi"])])
    yield named("name-in-error", "reject", unknown)
    wrong = renamed(EVIL["escapes"])
    wrong.graph.node[0].op_type = "Transpose"
    wrong.graph.node[0].attribute.append(helper.make_attribute("perm", [0, 0]))
    yield named("name-in-node-error", "reject", wrong)
    clash = text(
        "g (float[2,3] x) => (float[2,3] y) { Constant_0 = Identity(x) x_1 = Neg(Constant_0) graphopt_0 = "
        "Neg(x_1) y_1 = Exp(graphopt_0) y = Neg(y_1) }"
    )
    yield named("name-like-made-ones", "handle", clash)
    invalid = chain("Neg", 3).SerializeToString().replace(b"v0", b"\xff\xfe")
    yield named("name-not-utf8", "reject", invalid)
    heavy = chain("Neg", 3)
    heavy.doc_string = "d" * 500_000
    for at in range(500):
        heavy.metadata_props.add(key=f"k{at}", value="m" * 1000)
    yield named("name-megabyte-of-metadata", "handle", heavy, max_bytes=1_100_000)
    twice = chain("Neg", 3)
    twice.metadata_props.extend([onnx.StringStringEntryProto(key="k", value=v) for v in "ab"])
    yield named("name-metadata-key-twice", "reject", twice)


TRAPS = {
    "sub-self": f"{HEAD} {{ y = Sub(x, x) }}",
    "div-self": f"{HEAD} {{ y = Div(x, x) }}",
    "mul-zero": f"{HEAD} <float o = {{0}}> {{ y = Mul(x, o) }}",
    "zero-div": f"{HEAD} <float o = {{0}}> {{ y = Div(o, x) }}",
    "add-negative-zero": f"{HEAD} <float o = {{0}}> {{ t = Neg(x) u = Add(t, o) v = Reciprocal(u) y = Add(v, x) }}",
    "sub-from-zero": f"{HEAD} <float o = {{0}}> {{ t = Sub(o, x) y = Reciprocal(t) }}",
    "pow-zero": f"{HEAD} <float o = {{0}}> {{ y = Pow(x, o) }}",
    "pow-half": f"{HEAD} <float o = {{0.5}}> {{ y = Pow(x, o) }}",
    "sqrt-square": f"{HEAD} {{ s = Mul(x, x) y = Sqrt(s) }}",
    "square-sqrt": f"{HEAD} {{ s = Sqrt(x) y = Mul(s, s) }}",
    "log-exp": f"{HEAD} {{ s = Exp(x) y = Log(s) }}",
    "softmax-of-one": "g (float[2,3,1] x) => (float[2,3,1] y) { y = Softmax <axis = 2> (x) }",
    "clip-inverted": f"{HEAD} <float a = {{2}}, float b = {{-1}}> {{ y = Clip(x, a, b) }}",
    "clip-chain": (
        f"{HEAD} <float a = {{0}}, float b = {{6}}, float c = {{7}}> {{ t = Clip(x, a, b) y = Clip(t, c, c) }}"
    ),
    "min-max-nan": f"{HEAD} <float a = {{0}}, float b = {{6}}> {{ t = Max(x, a) y = Min(t, b) }}",
    "max-of-min-beyond": f"{HEAD} <float a = {{5}}, float b = {{1}}> {{ t = Min(x, b) y = Max(t, a) }}",
    "relu-of-nan": f"{HEAD} {{ t = Relu(x) y = Relu(t) }}",
    "where-nan": f"{HEAD} {{ n = IsNaN(x) y = Where(n, x, x) }}",
    "equal-self": "g (float[2,3] x) => (bool[2,3] y) { y = Equal(x, x) }",
    "not-less": "g (float[2,3] x, float[2,3] w) => (bool[2,3] y) { t = Less(x, w) y = Not(t) }",
    "cast-through-int": (
        f"{HEAD} <float h = {{0.25}}> {{ c = Clip(x, , h) d = Max(c, h) i = Cast <to=6> (d) y = Cast <to=1> (i) }}"
    ),
    "cast-through-half": f"{HEAD} {{ i = Cast <to=10> (x) y = Cast <to=1> (i) }}",
    "cast-through-double": f"{HEAD} {{ i = Cast <to=11> (x) j = Exp(i) y = Cast <to=1> (j) }}",
    "cast-through-bool": f"{HEAD} {{ i = Cast <to=9> (x) y = Cast <to=1> (i) }}",
    "int-div-mul": "g (int64[2,3] x) => (int64[2,3] y) <int64 k = {3}> { t = Div(x, k) y = Mul(t, k) }",
    "int-mul-div": "g (int32[2,3] x) => (int32[2,3] y) <int32 k = {2}> { t = Mul(x, k) y = Div(t, k) }",
    "int-mod-negative": "g (int64[2,3] x) => (int64[2,3] y) <int64 k = {-3}> { y = Mod(x, k) }",
    "uint8-wraps": "g (uint8[2,3] x) => (uint8[2,3] y) <uint8 k = {200}> { t = Add(x, k) y = Sub(t, k) }",
    "double-stays": (
        "g (double[2,3] x) => (double[2,3] y) <double k = {1e-12}, double m = {1}> { t = Add(m, k) y = Mul(x, t) }"
    ),
    "large-plus-minus": f"{HEAD} <float k = {{1e30}}> {{ t = Add(x, k) y = Sub(t, k) }}",
    "scale-twice-overflows": (
        f"{HEAD} <float k = {{1e30}}, float m = {{1e-30}}> {{ t = Mul(x, k) u = Mul(t, k) v = Mul(u, m) y = "
        f"Mul(v, m) }}"
    ),
    "reduce-of-nothing": "g (float[N,3] x) => (float[3] y) <int64[1] a = {0}> { y = ReduceSum <keepdims=0> (x, a) }",
    "mean-of-nothing": "g (float[N,3] x) => (float[3] y) { y = ReduceMean <keepdims=0, axes=[0]> (x) }",
    "reshape-zero-chain": (
        "g (float[2,6] x) => (float[N,M] y) <int64[2] a = {3, 4}, int64[2] b = {0, -1}> { t = Reshape(x, a) "
        "y = Reshape(t, b) }"
    ),
    "reshape-allowzero": (
        "g (float[0,3] x) => (float[0,7] y) <int64[2] a = {0, 7}> { y = Reshape <allowzero = 1> (x, a) }"
    ),
    "reshape-of-nothing": "g (float[0,3] x) => (float[N,M] y) <int64[2] a = {0, 3}> { y = Reshape(x, a) }",
    "expand-of-wider": "g (float[N,3] x) => (float[K,3] y) <int64[2] a = {1, 1}> { y = Expand(x, a) }",
    "expand-batch": "g (float[N,3] x) => (float[K,3] y) <int64[2] a = {4, 3}> { t = Expand(x, a) y = Neg(t) }",
    "squeeze-batch": "g (float[N,3] x) => (float[3] y) { t = Squeeze(x) y = Neg(t) }",
    "broadcast-of-batch": (
        "g (float[N,3] x, float[1,3] w) => (float[N,3] y) { t = Add(x, w) u = Mul(t, w) y = Sub(u, x) }"
    ),
    "add-widens": "g (float[1,3] x) => (float[4,3] y) <float[4,1] o = {0, 0, 0, 0}> { y = Add(x, o) }",
    "mul-one-widens": "g (float[3] x) => (float[2,3] y) <float[2,1] o = {1, 1}> { y = Mul(x, o) }",
    "transpose-of-equal-dims": "g (float[3,3] x) => (float[3,3] y) { t = Transpose(x) y = Add(t, x) }",
    "slice-reversed": (
        f"{HEAD} <int64[1] a = {{-1}}, int64[1] b = {{-9}}, int64[1] k = {{1}}, int64[1] s = {{-1}}> {{ y = "
        f"Slice(x, a, b, k, s) }}"
    ),
    "gather-negative": "g (float[2,3] x) => (float[2] y) <int64 k = {-1}> { y = Gather <axis=1> (x, k) }",
}
KERNEL = "float[2,1,2,2] w = {1, 2, 3, 4, 5, 6, 7, 8}"
AROUND = "int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}"
AFFINE = "float[2] s = {2, 3}, float[2] b = {1, -1}, float[2] m = {0.5, 0}"
POOL = "<kernel_shape = [2, 2]> (t)"
CONV = "Conv <group = 2>"
NORM = "BatchNormalization"
ALL = "(t, s, b, m, v)"
POOLS = {
    "pad-max-pool": (IMAGE, f"t = Pad(x, p) y = MaxPool {POOL}", AROUND),
    "pad-average-pool": (IMAGE, f"t = Pad(x, p) y = AveragePool {POOL}", AROUND),
    "pad-negative": (IMAGE, f"t = Pad(x, p) y = MaxPool {POOL}", "int64[8] p = {0, 0, -1, 0, 0, 0, 1, 1}"),
    "pad-channels": (
        "g (float[1,2,5,5] x) => (float[1,K,N,M] y)",
        "t = Pad(x, p) y = Conv(t, w)",
        "int64[8] p = {0, 1, 0, 0, 0, 0, 0, 0}, float[1,3,1,1] w = {1, 2, 3}",
    ),
    "pad-reflect-conv": (IMAGE, f't = Pad <mode = "reflect"> (x, p) y = {CONV} (t, w)', f"{AROUND}, {KERNEL}"),
    "pad-five-conv": (IMAGE, f"t = Pad(x, p, v) y = {CONV} (t, w)", f"{AROUND}, float v = {{5}}, {KERNEL}"),
    "bn-padded-conv": (
        IMAGE,
        f"t = {NORM} (x, s, b, m, v) y = Conv <group = 2, pads = [1, 1, 1, 1]> (t, w)",
        f"{AFFINE}, float[2] v = {{1, 4}}, {KERNEL}",
    ),
    "bn-zero-variance": (
        IMAGE,
        f"t = {CONV} (x, w) y = {NORM} <epsilon = 0.0> {ALL}",
        f"{AFFINE}, float[2] v = {{0, 4}}, {KERNEL}",
    ),
    "bn-negative-variance": (
        IMAGE,
        f"t = {CONV} (x, w) y = {NORM} {ALL}",
        f"{AFFINE}, float[2] v = {{-1, 4}}, {KERNEL}",
    ),
    "bn-tiny-variance": (
        IMAGE,
        f"t = {CONV} (x, w) y = {NORM} <epsilon = 0.0> {ALL}",
        f"{AFFINE}, float[2] v = {{1e-38, 4}}, {KERNEL}",
    ),
    "bn-training": (
        IMAGE,
        f"y, a, c = {NORM} <training_mode = 1> (x, s, b, m, v)",
        f"{AFFINE}, float[2] v = {{1, 4}}",
    ),
    "shared-weight": (
        IMAGE,
        f"t = {CONV} (x, w) u = {NORM} {ALL} r = {CONV} (x, w) y = Add(u, r)",
        f"{AFFINE}, float[2] v = {{1, 4}}, {KERNEL}",
    ),
    "mul-of-a-batch-weight": (
        "g (float[1,2,5,5] x) => (float[3,2,N,M] y)",
        f"t = {CONV} (x, w) y = Mul(t, s)",
        f"float[3,1,1,1] s = {{1, 2, 3}}, {KERNEL}",
    ),
}


def traps() -> Iterator[Case]:
    """Tempt with what holds for real numbers, for positive ones, or for one batch size."""
    for name, source in TRAPS.items():
        size = 0 if "nothing" in name else 1 if "widen" in name or "squeeze" in name or "expand-batch" in name else 7
        yield named(f"number-{name}", "handle", text(source, opset=16), sizes={"N": size})
    for name, (head, body, constants) in POOLS.items():
        yield named(f"number-{name}", "handle", text(f"{head} <{constants}> {{ {body} }}"))
    weights = random_of("traps").standard_normal((3, 3)).astype(np.float32)
    inf = np.where(np.eye(3) > 0, np.inf, weights).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Mul", ["t", "o"], ["y"])]
    yield named("number-infinite-weight", "handle", graph(nodes, {"w": inf, "o": np.zeros(1, np.float32)}))
    tiny = np.full((3, 3), 1e-40, np.float32)
    small = graph(nodes, {"w": tiny, "o": np.full(1, 1e30, np.float32)})
    yield named("number-subnormal-weight", "handle", small)


CASES = (*types(), *names(), *traps())
