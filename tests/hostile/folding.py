"""Constant regions that must not be folded: too big, too slow, deadly or random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import helper

from tests.hostile.case import Case, graph, named, text
from tests.hostile.case import strings as words

__all__ = ["CASES"]

HEAD = "g (float[2,3] x) => (float[2,3] y)"
SMALL = 20_000
"""Bytes that a result may have; each model is some hundred bytes, each folded constant would be megabytes."""


def bomb(name: str, body: str, constants: str = "", *, head: str = HEAD, opset: int = 18, **more: Any) -> Case:
    """Return the case of a legal model whose constants must stay small."""
    model = text(f"{head} <{constants}> {{ {body} }}" if constants else f"{head} {{ {body} }}", opset=opset)
    return named(f"bomb-{name}", "handle", model, **{"max_bytes": SMALL, **more})


PICK = "g (int64[2] i) => (float[2] y)"
UNSEEN: dict[str, Any] = {"same": False, "verify": "off"}
"""For what nobody can run to compare."""


def bombs() -> Iterator[Case]:
    """Make something enormous of a few constants."""
    million = "int64[2] s = {1000000, 1000000}, float eps = {0.5}"
    shape_only = "b = ConstantOfShape(s) n = Shape(b) f = Cast <to=1> (n) m = ReduceMax <keepdims=0> (f) y = Add(x, m)"
    yield bomb("shape-of-1e12", shape_only, million, **UNSEEN)
    sliced = "b = ConstantOfShape(s) t = Slice(b, lo, hi) y = Add(x, t)"
    yield bomb("slice-of-600-mb", sliced, "int64[1] s = {150000000}, int64[1] lo = {7}, int64[1] hi = {10}")
    live = "b = ConstantOfShape(s) y = Gather(b, i)"
    yield bomb("live-constant", live, "int64[1] s = {20000000}", head=PICK, special=False)
    tile = "b = Tile(v, s) y = Gather(b, i)"
    yield bomb("live-tile", tile, "float[3] v = {1, 2, 3}, int64[1] s = {7000000}", head=PICK, special=False)
    expand = "b = Expand(v, s) y = Gather(b, i)"
    yield bomb("live-expand", expand, "float[1] v = {2}, int64[1] s = {20000000}", head=PICK, special=False)
    pad = "b = Pad(v, s) y = Gather(b, i)"
    yield bomb("live-pad", pad, "float[3] v = {1, 2, 3}, int64[2] s = {10000000, 10000000}", head=PICK, special=False)
    line = "b = Range(a, e, d) f = Cast <to=1> (b) y = Gather(f, i)"
    yield bomb("live-range", line, "int64 a = {0}, int64 e = {10000000}, int64 d = {1}", head=PICK, special=False)
    hot = "b = OneHot <axis=0> (k, n, v) t = ReduceSum <keepdims=0> (b, one) y = Gather(t, i)"
    yield bomb(
        "live-one-hot",
        hot,
        "int64[1] k = {3}, int64 n = {9000000}, float[2] v = {0, 1}, int64[1] one = {1}",
        head=PICK,
        special=False,
    )
    outer = (
        "r = Range(a, e, d) f = Cast <to=1> (r) c = Unsqueeze(f, one) m = Mul(f, c) t = ReduceMax "
        "<keepdims=0> (m, one) y = Gather(t, i)"
    )
    yield bomb(
        "live-outer-product",
        outer,
        "int64 a = {0}, int64 e = {4000}, int64 d = {1}, int64[1] one = {1}",
        head=PICK,
        special=False,
        max_bytes=40_000,
    )
    upscale = "b = Resize(v, , , s) t = Shape(b) f = Cast <to=1> (t) m = ReduceMax <keepdims=0> (f) y = Add(x, m)"
    yield bomb("resize", upscale, "float[1,1,2,2] v = {1, 2, 3, 4}, int64[4] s = {1, 1, 100000, 100000}", **UNSEEN)
    range_ = "b = Range(a, e, d) n = Shape(b) f = Cast <to=1> (n) m = ReduceMax <keepdims=0> (f) y = Add(x, m)"
    yield bomb("range-1e12", range_, "int64 a = {0}, int64 e = {1000000000000}, int64 d = {1}", **UNSEEN)
    yield bomb("range-delta-0", range_, "int64 a = {0}, int64 e = {10}, int64 d = {0}", **UNSEEN)
    yield bomb(
        "range-float-tiny", range_.replace("b)", "b)"), "float a = {0}, float e = {1}, float d = {1e-30}", **UNSEEN
    )
    slow = "a = ConstantOfShape(s) b = MatMul(a, a) t = ReduceMax <keepdims=0> (b) y = Add(x, t)"
    yield bomb("matmul-20000-cubed", slow, "int64[2] s = {20000, 20000}", **UNSEEN)
    doubling = " ".join(f"v{at + 1} = Concat <axis=0> (v{at}, v{at})" for at in range(36))
    yield bomb(
        "doubling-36-times",
        f"{doubling} n = Size(v36) f = Cast <to=1> (n) y = Add(x, f)",
        "float[1] v0 = {1}",
        **UNSEEN,
    )
    growing = "n = Shape(x) b = ConstantOfShape(n) y = Add(x, b)"
    yield bomb("shape-of-dynamic", growing, head="g (float[N,3] x) => (float[N,3] y)", sizes={"N": 5})
    negative = "b = ConstantOfShape(s) n = Size(b) f = Cast <to=1> (n) y = Add(x, f)"
    yield bomb("negative-shape", negative, "int64[1] s = {-5}", **UNSEEN)
    yield bomb("shape-that-wraps", negative, "int64[3] s = {4611686018427387904, 4611686018427387904, 4}", **UNSEEN)
    loop = """l = Loop (n, go, v) <body = b (int64 k, bool on, float s) => (bool on2, float s2) {
        on2 = Identity(on) s2 = Add(s, s) }> y = Add(x, l)"""
    yield bomb("loop-1e12", loop, "int64 n = {1000000000000}, bool go = {1}, float v = {1}", **UNSEEN)
    yield bomb("loop-endless", loop.replace("(n,", "(,"), "bool go = {1}, float v = {1}", **UNSEEN)
    text_ = "a = StringConcat(s, s) b = StringConcat(a, a) c = StringConcat(b, b) y = StringConcat(c, c)"
    strings = text(f"g () => (string[1] y) {{ {text_} }}", opset=20)
    strings.graph.initializer.append(words("s", [b"s" * 4000]))
    yield named("bomb-string-concat", "handle", strings, max_bytes=80_000)


def deadly() -> Iterator[Case]:
    """Kill who computes them."""
    least = np.array([-(2**63), 7], np.int64)
    for op, by in (("Div", -1), ("Mod", -1), ("Div", 0), ("Mod", 0)):
        nodes = [
            helper.make_node(op, ["a", "b"], ["q"]),
            helper.make_node("Cast", ["q"], ["f"], to=1),
            helper.make_node("ReduceMax", ["f"], ["m"], keepdims=0),
            helper.make_node("Add", ["x", "m"], ["y"]),
        ]
        model = graph(nodes, {"a": least, "b": np.array([by], np.int64)})
        yield named(f"deadly-{op.lower()}-int64-min-by-{by}", "either", model, **UNSEEN)
    shift = 'q = BitShift <direction = "LEFT"> (a, b) f = Cast <to=1> (q) y = Add(x, f)'
    yield named(
        "deadly-shift-by-64", "handle", text(f"{HEAD} <uint64 a = {{1}}, uint64 b = {{64}}> {{ {shift} }}"), **UNSEEN
    )
    gather = "q = Gather(w, k) y = Add(x, q)"
    beyond = text(f"{HEAD} <float[2] w = {{1, 2}}, int64[1] k = {{1000000000}}> {{ {gather} }}")
    yield named("deadly-gather-beyond", "either", beyond, **UNSEEN)
    scatter = "q = ScatterElements(w, k, w) t = ReduceMax <keepdims=0> (q) y = Add(x, t)"
    outside = text(f"{HEAD} <float[2] w = {{1, 2}}, int64[2] k = {{-9000000000, 5}}> {{ {scatter} }}")
    yield named("deadly-scatter-beyond", "either", outside, **UNSEEN)


TWO_DRAWS = "g (float[2,3] x) => (float[2,3] y, float[2,3] z)"
RANDOMS = {
    "normal": ("RandomNormal <shape = [2, 3]> ()", {"RandomNormal": 2}),
    "uniform": ("RandomUniform <shape = [2, 3]> ()", {"RandomUniform": 2}),
    "normal-like": ("RandomNormalLike <dtype = 1> (w)", {"RandomNormalLike": 2}),
    "uniform-like": ("RandomUniformLike <dtype = 1> (w)", {"RandomUniformLike": 2}),
    "bernoulli": ("Bernoulli (w)", {"Bernoulli": 2}),
    "dropout": ("Dropout (w, half, yes)", {"Dropout": 2}),
}


def randoms() -> Iterator[Case]:
    """Draw twice: neither may be folded, and both may not become one."""
    constants = "float[2,3] w = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5}, float half = {0.5}, bool yes = {1}"
    for name, (call, keeps) in RANDOMS.items():
        body = f"a = {call} b = {call} y = Add(x, a) z = Add(x, b)"
        model = text(f"{TWO_DRAWS} <{constants}> {{ {body} }}")
        few = name in {"bernoulli", "dropout"}
        yield named(f"random-{name}", "handle", model, same=False, keeps=keeps, differs=not few)
    multinomial = "g (float[2,3] x) => (int32[1,64] y, int32[1,64] z)"
    call = "Multinomial <sample_size = 64> (w)"
    model = text(f"{multinomial} <float[1,2] w = {{0.5, 0.5}}> {{ y = {call} z = {call} }}")
    yield named("random-multinomial", "handle", model, same=False, keeps={"Multinomial": 2})
    noise = '<domain: "here", opset_import: ["" : 18]> Noise (a) => (c) { b = RandomNormalLike(a) c = Add(a, b) }'
    called = text(f"{TWO_DRAWS} {{ y = here.Noise(x) z = here.Noise(x) }} {noise}", domains=', "here" : 1')
    yield named("random-in-function", "handle", called, same=False, differs=True)
    branch = (
        "If (c) <then_branch = t () => (float[2,3] a) {{ a = RandomNormal <shape = [2, 3]> () }}, "
        "else_branch = e () => (float[2,3] b) {{ b = Neg(x) }}>"
    )
    one = branch.replace("{{", "{").replace("}}", "}")
    inner = text(f"{TWO_DRAWS} <bool c = {{1}}> {{ p = {one} q = {one} y = Add(x, p) z = Add(x, q) }}")
    yield named("random-in-if", "handle", inner, same=False, differs=True)
    loop = """Loop (n, go, v) <body = b (int64 k, bool on, float[2,3] s) => (bool on2, float[2,3] s2) {
        on2 = Identity(on) r = RandomNormal <shape = [2, 3]> () s2 = Add(s, r) }>"""
    looped = text(
        f"{TWO_DRAWS} <int64 n = {{3}}, bool go = {{1}}, float[2,3] v = {{0, 0, 0, 0, 0, 0}}> {{ p = {loop} q "
        f"= {loop} y = Add(x, p) z = Add(x, q) }}"
    )
    yield named("random-in-loop", "handle", looped, same=False, keeps={"RandomNormal": 2})


CASES = (*bombs(), *deadly(), *randoms())
