"""Tensors, graphs, schemas, functions and subgraphs that are broken, or legal and rare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.hostile.case import Array, Case, chain, graph, named, text

__all__ = ["CASES"]

W = np.array([[1, -2, 3], [0.5, 0, -1]], np.float32)
HEAD = "g (float[2,3] x) => (float[2,3] y)"
TWO = "g (float[2,3] x) => (float[2,3] y, float[2,3] z)"


def add_w(change: Callable[[TensorProto], object]) -> onnx.ModelProto:
    """Return y = x + w after a change to w."""
    model = graph([helper.make_node("Add", ["x", "w"], ["y"])], {"w": W})
    change(model.graph.initializer[0])
    return model


def dims(*sizes: int) -> Callable[[TensorProto], object]:
    """Return the change that replaces the dims and leaves the data."""

    def change(held: TensorProto) -> None:
        del held.dims[:]
        held.dims.extend(sizes)

    return change


def dtype(code: int) -> Callable[[TensorProto], object]:
    """Return the change that replaces the element type."""
    return lambda held: setattr(held, "data_type", code)


def raw(data: bytes) -> Callable[[TensorProto], object]:
    """Return the change that replaces the data."""
    return lambda held: setattr(held, "raw_data", data)


def field(name: str, numbers: Iterable[float]) -> Callable[[TensorProto], object]:
    """Return the change that puts numbers into a field instead of the data."""

    def change(held: TensorProto) -> None:
        held.ClearField("raw_data")
        getattr(held, name).extend(numbers)

    return change


def tensors() -> Iterator[Case]:
    """Break y = x + w at w."""
    broken: dict[str, Callable[[TensorProto], object]] = {
        "negative-dim": dims(-2, -3),
        "overflowing-dims": dims(1 << 62, 1 << 62),
        "dims-that-wrap": dims(1 << 32, 1 << 32, 6),
        "huge-empty": dims(1 << 62, 0, 1 << 62),
        "raw-short": raw(W.tobytes()[:-4]),
        "raw-long": raw(W.tobytes() + bytes(4)),
        "raw-odd": raw(W.tobytes()[:-1]),
        "raw-missing": raw(b""),
        "two-fields": lambda held: held.float_data.extend(W.ravel().tolist()),
        "wrong-field": field("int64_data", range(6)),
        "too-few-floats": field("float_data", [1.0] * 5),
        "dtype-99": dtype(99),
        "dtype-negative": dtype(-1),
        "dtype-undefined": dtype(0),
        "no-name": lambda held: held.ClearField("name"),
        "segment": lambda held: held.segment.MergeFrom(TensorProto.Segment(begin=0, end=3)),
        "strings-in-raw": dtype(TensorProto.STRING),
        "does-not-fit": dims(3, 2),
    }
    for name, change in broken.items():
        yield named(f"tensor-{name}", "reject", add_w(change))
    empty: dict[str, Array] = {"e": np.zeros((0, 3), np.float32), "s": np.array([2, 3], np.int64)}
    nodes = [helper.make_node("Concat", ["x", "e"], ["t"], axis=0), helper.make_node("Reshape", ["t", "s"], ["y"])]
    yield named("tensor-empty", "handle", graph(nodes, empty))
    untyped = add_w(lambda _: None)
    untyped.graph.input[0].ClearField("type")
    yield named("tensor-input-without-type", "reject", untyped)
    yield named("tensor-scalar-as-vector", "handle", add_w(lambda held: (dims(1)(held), raw(W.tobytes()[:4])(held))))
    floats = add_w(field("float_data", W.ravel().tolist()))
    yield named("tensor-typed-field", "handle", floats)


def twice(field: str) -> onnx.ModelProto:
    """Repeat the entries of a field of the graph."""
    model = add_w(lambda _: None)
    entries = getattr(model.graph, field)
    entries.extend(list(entries))
    return model


def renamed() -> onnx.ModelProto:
    """Give all nodes one name."""
    model = text(f"{HEAD} {{ a = Relu(x) b = Neg(a) c = Abs(b) y = Add(c, a) }}")
    for node in model.graph.node:
        node.name = "the only name"
    return model


def overridable() -> onnx.ModelProto:
    """Return x * k + Shape things where a caller may replace k."""
    return text(
        "g (float[2,3] x, float[3] k = {1,2,3}) => (float[2,3] y) { t = Mul(x, k) u = Add(k, k) y = Add(t, u) }"
    )


def users(count: int) -> onnx.ModelProto:
    """Return a sum over many users of one value, no two of them equal."""
    made = [helper.make_node("Add", ["x", f"c{at}"], [f"u{at}"]) for at in range(count)]
    total = helper.make_node("Max", [f"u{at}" for at in range(count)], ["y"])
    return graph([*made, total], {f"c{at}": np.array([at / 8], np.float32) for at in range(count)})


def paths(length: int) -> onnx.ModelProto:
    """Return a chain of v = v + v scaled down: 2**length paths."""
    nodes = []
    for at in range(length):
        nodes.append(helper.make_node("Max", [f"v{at}", f"w{at}"], [f"v{at + 1}"]))
        nodes.append(helper.make_node("Min", [f"v{at}", f"w{at}"], [f"w{at + 1}"]))
    nodes.insert(0, helper.make_node("Neg", ["x"], ["w0"]))
    nodes.insert(0, helper.make_node("Abs", ["x"], ["v0"]))
    nodes.append(helper.make_node("Sub", [f"v{length}", f"w{length}"], ["y"]))
    return graph(nodes)


def shuffled() -> onnx.ModelProto:
    """Return nodes in the wrong order."""
    model = chain("Neg", 40)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    return model


GRAPHS = {
    "cycle": ("reject", text(f"{HEAD} {{ a = Add(x, b) b = Relu(a) y = Neg(b) }}")),
    "self-loop": ("reject", text(f"{HEAD} {{ a = Add(x, a) y = Neg(a) }}")),
    "long-cycle": ("reject", text(f"{HEAD} {{ a = Add(x, d) b = Neg(a) c = Neg(b) d = Neg(c) y = Neg(x) }}")),
    "undefined-name": ("reject", text(f"{HEAD} {{ y = Add(x, nothing) }}")),
    "undefined-output": ("reject", text(f"{HEAD} {{ t = Neg(x) }}")),
    "no-outputs": ("either", text("g (float[2,3] x) => () { y = Neg(x) }")),
    "no-nodes": ("reject", text(f"{HEAD} {{}}")),
    "two-initializers": ("reject", twice("initializer")),
    "two-inputs": ("reject", twice("input")),
    "two-outputs": ("either", twice("output")),
    "two-producers": ("reject", text(f"{HEAD} {{ y = Neg(x) y = Relu(x) }}")),
    "produces-an-input": ("reject", text(f"{HEAD} {{ x = Neg(x) y = Relu(x) }}")),
    "produces-an-initializer": ("reject", text(f"{HEAD} <float[1] w = {{1}}> {{ w = Neg(x) y = Add(x, w) }}")),
    "one-node-name": ("handle", renamed()),
    "unsorted": ("either", shuffled()),
    "output-is-input": ("either", text("g (float[2,3] x) => (float[2,3] x, float[2,3] y) { y = Neg(x) }")),
    "output-is-initializer": (
        "handle",
        text("g (float[2,3] x) => (float[2,3] y, float[2] w) <float[2] w = {1, 2}> { y = Neg(x) }"),
    ),
    "identity-through": ("handle", text(f"{HEAD} {{ a = Identity(x) b = Identity(a) y = Identity(b) }}")),
    "equal-outputs": ("handle", text(f"{TWO} {{ y = Exp(x) z = Exp(x) }}")),
    "output-read-inside": ("handle", text(f"{TWO} {{ y = Neg(x) z = Neg(y) }}")),
    "optional-gap": ("handle", text(f'{HEAD} <float m = {{0.5}}> {{ y = Clip(x, "", m) }}')),
    "users-3000": ("handle", users(3000)),
    "paths-2e60": ("handle", paths(60)),
    "chain-3000": ("handle", chain("Neg", 3001)),
    "unused-output": (
        "handle",
        text("g (float[2,4] x) => (float[2,2] y) { y, z = Split <axis=1, num_outputs=2> (x) }"),
    ),
}


def graphs() -> Iterator[Case]:
    """Break, and stretch, what a graph is."""
    for name, (expect, model) in GRAPHS.items():
        limit = 250_000 if name.endswith("3000") else 20_000
        yield named(f"graph-{name}", expect, model, max_bytes=limit)  # type: ignore[arg-type]
    unused = text("g (float[2,3] x, float[7] u) => (float[2,3] y) { y = Neg(x) }")
    yield named("graph-unused-input", "handle", unused, inputs=("x", "u"))
    yield named("graph-overridable", "handle", overridable(), inputs=("x", "k"), keeps={"Mul": 1})


def opsets(*imports: tuple[str, int], ir: int = 8) -> onnx.ModelProto:
    """Return y = -x under other imports."""
    model = chain("Neg", 1)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in imports)
    model.ir_version = ir
    return model


def old() -> onnx.ModelProto:
    """Return a model of IR version 3, whose initializers are inputs too."""
    source = "g (float[2,3] x, float[3] w = {1, 2, 3}) => (float[2,3] y) { t = Mul(x, w) y = Neg(t) }"
    return text(source, opset=7, ir=3)


def claimed(source: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    """Claim in value_info that values have certain shapes."""
    model = text(source)
    for name, shape in shapes.items():
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def attributes(node: onnx.NodeProto) -> onnx.ModelProto:
    """Return y = node(x)."""
    return graph([node])


def bare_attribute() -> onnx.ModelProto:
    """Return a model with an attribute of undefined type."""
    model = chain("Softmax", 1)
    model.graph.node[0].attribute.add(name="axis", i=1)
    return model


LIE = f"{HEAD} {{ t = Relu(x) s = Shape(t) n = Cast <to=1> (s) k = ReduceMax <keepdims=0> (n) y = Add(x, k) }}"
SCHEMAS = {
    "unknown-operator": ("reject", attributes(helper.make_node("Neggg", ["x"], ["y"]))),
    "no-operator": ("reject", attributes(helper.make_node("", ["x"], ["y"]))),
    "removed-operator": ("reject", attributes(helper.make_node("Upsample", ["x", "x"], ["y"]))),
    "opset-0": ("reject", opsets(("", 0))),
    "opset-negative": ("reject", opsets(("", -3))),
    "opset-9999": ("reject", opsets(("", 9999))),
    "opset-twice": ("reject", opsets(("", 17), ("", 18))),
    "opset-alias": ("either", opsets(("ai.onnx", 18))),
    "opset-none": ("either", opsets()),
    "opset-unused": ("handle", opsets(("", 18), ("never.used", 3))),
    "ir-999": ("reject", opsets(("", 18), ir=999)),
    "ir-0": ("reject", opsets(("", 18), ir=0)),
    "attribute-type": ("reject", attributes(helper.make_node("Transpose", ["x"], ["y"], perm="10"))),
    "attribute-undefined-type": ("either", bare_attribute()),
    "perm-short": ("either", attributes(helper.make_node("Transpose", ["x"], ["y"], perm=[0]))),
    "perm-repeats": ("reject", attributes(helper.make_node("Transpose", ["x"], ["y"], perm=[0, 0]))),
    "axis-out": ("reject", attributes(helper.make_node("Softmax", ["x"], ["y"], axis=2))),
    "axis-int64-min": ("either", attributes(helper.make_node("Softmax", ["x"], ["y"], axis=-(2**63)))),
    "too-few-inputs": ("reject", attributes(helper.make_node("Conv", ["x"], ["y"]))),
    "too-many-inputs": ("reject", attributes(helper.make_node("Neg", ["x", "x"], ["y"]))),
    "mixed-types": ("reject", text(f"{HEAD} <int64[3] k = {{1, 2, 3}}> {{ y = Add(x, k) }}")),
    "output-shape-lies": ("either", text("g (float[2,3] x) => (float[5,7] y) { y = Neg(x) }")),
    "output-type-lies": ("reject", text("g (float[2,3] x) => (int64[2,3] y) { y = Neg(x) }")),
    "value-info-lies": ("either", claimed(LIE, t=(7, 9))),
    "value-info-rank-lies": ("either", claimed(LIE, t=(6,))),
    "value-info-strange": ("handle", claimed(LIE, nowhere=(1, 2, 3))),
    "ir-3": ("handle", old()),
}
CUSTOM = "{ t = Neg(x) u = far.away.Magic <strength = 3> (t) y = Relu(u) }"
FUNCTION = ', "here" : 1'
TWICE = '<domain: "here", opset_import: ["" : 18]> Twice (a) => (b) { b = Add(a, a) }'


def schemas() -> Iterator[Case]:
    """Break what operators, opsets and declarations promise."""
    for name, (expect, model) in SCHEMAS.items():
        # What cannot run must not become what does.
        keeps = {"Transpose": 1} if name == "perm-short" else {}
        yield named(f"schema-{name}", expect, model, keeps=keeps)  # type: ignore[arg-type]
    operand = text(f"{HEAD} {{ y = And(x, x) }}")
    yield named("schema-operand-type", "either", operand, same=False)
    custom = text(f"{HEAD} {CUSTOM}", domains=', "far.away" : 1')
    yield named("schema-custom-domain", "handle", custom, keeps={"Magic": 1}, same=False)
    yield named("schema-custom-not-imported", "reject", text(f"{HEAD} {CUSTOM}"))


def with_functions(body: str, *functions: str) -> onnx.ModelProto:
    """Return a model that may call functions of domain `here`."""
    return text(f"{HEAD} {body} " + " ".join(functions), domains=FUNCTION)


def inlining_bomb(levels: int) -> onnx.ModelProto:
    """Return functions that each call the next one twice."""
    head = '<domain: "here", opset_import: ["" : 18, "here" : 1]>'
    calls = [f"{head} F{at} (a) => (c) {{ b = here.F{at + 1}(a) c = here.F{at + 1}(b) }}" for at in range(levels)]
    last = f'<domain: "here", opset_import: ["" : 18]> F{levels} (a) => (b) {{ b = Neg(a) }}'
    return with_functions("{ y = here.F0(x) }", *calls, last)


def functions() -> Iterator[Case]:
    """Call functions that call too much."""
    head = '<domain: "here", opset_import: ["" : 18, "here" : 1]>'
    body = "{ y = here.F(x) }"
    yield named("function-plain", "handle", with_functions("{ t = here.Twice(x) y = here.Twice(t) }", TWICE))
    yield named("function-itself", "reject", with_functions(body, f"{head} F (a) => (b) {{ b = here.F(a) }}"))
    ring = (f"{head} F (a) => (b) {{ b = here.G(a) }}", f"{head} G (a) => (b) {{ b = here.F(a) }}")
    yield named("function-ring", "reject", with_functions(body, *ring))
    yield named("function-twice", "reject", with_functions("{ y = here.Twice(x) }", TWICE, TWICE))
    missing = with_functions("{ y = here.Nothing(x) }", TWICE)
    yield named("function-missing", "handle", missing, keeps={"Nothing": 1}, same=False)
    yield named("function-unused", "handle", with_functions("{ y = Neg(x) }", TWICE))
    unknown = f"{head} F (a) => (b) {{ b = Neg(nothing) }}"
    yield named("function-undefined-name", "reject", with_functions(body, unknown))
    yield named("function-inlines-to-2e30", "handle", inlining_bomb(30), same=False, verify="off")


def deep(depth: int) -> onnx.ModelProto:
    """Nest If within If, each adding the outermost input."""
    inner = "z0 = Neg(x)"
    for at in range(depth):
        then, other = (
            f"t{at} () => (float[2,3] z{at}) {{ {inner} }}",
            f"e{at} () => (float[2,3] q{at}) {{ q{at} = Abs(x) }}",
        )
        inner = f"z{at + 1} = If (c) <then_branch = {then}, else_branch = {other}>"
    return text(f"g (float[2,3] x, bool c) => (float[2,3] z{depth}) {{ {inner} }}")


IF = "g (float[2,3] x, bool c) => (float[2,3] y)"
LOOP = """g (float[2,3] x) => (float[2,3] y) <int64 n = {4}, bool go = {1}, float[3] w = {1, 2, 3}> {
  o = Neg(x)
  y = Loop (n, go, x) <body = b (int64 i, bool on, float[2,3] v) => (bool on2, float[2,3] v2) {
    on2 = Identity(on)  t = Mul(v, w)  v2 = Sub(t, o)
  }>
}"""
SCAN = """g (float[2,3] x) => (float[3] y, float[2,3] z) <float[3] zero = {0, 0, 0}> {
  y, z = Scan <num_scan_inputs = 1, body = b (float[3] a, float[3] r) => (float[3] a2, float[3] out) {
    a2 = Add(a, r)  out = Mul(a2, a2)
  }> (zero, x)
}"""


def subgraphs() -> Iterator[Case]:
    """Nest graphs in graphs."""
    yield named("subgraph-deep-20", "handle", deep(20))
    yield named("subgraph-deep-30", "either", deep(30), same=False)
    branches = (
        "y = If (c) <then_branch = t () => (float[2,3] a) {{ {0} }}, else_branch = e () => (float[2,3] b) {{ {1} }}>"
    )
    capture = "h = Neg(x) " + branches.format("a = Abs(h)", "b = Exp(h)")
    yield named("subgraph-captures", "handle", text(f"{IF} {{ {capture} }}"))
    same = branches.format("q = Neg(x) a = Abs(q)", "q = Abs(x) b = Neg(q)")
    yield named("subgraph-same-names", "handle", text(f"{IF} {{ {same} }}"))
    shadow = "q = Exp(x) " + branches.format("q = Neg(x) a = Abs(q)", "b = Neg(q)")
    yield named("subgraph-shadows", "either", text(f"{IF} {{ {shadow} }}"))
    later = branches.format("a = Abs(later)", "b = Neg(x)") + " later = Neg(x)"
    yield named("subgraph-reads-later", "either", text(f"{IF} {{ {later} }}"))
    unknown = branches.format("a = Abs(nothing)", "b = Neg(x)")
    yield named("subgraph-undefined-name", "reject", text(f"{IF} {{ {unknown} }}"))
    yield named(
        "subgraph-one-branch",
        "reject",
        text(f"{IF} {{ y = If (c) <then_branch = t () => (float[2,3] a) {{ a = Abs(x) }}> }}"),
    )
    yield named("subgraph-outer-output", "either", text(f"{IF} {{ {branches.format('q = Neg(x)', 'b = Neg(x)')} }}"))
    yield named("subgraph-loop", "handle", text(LOOP))
    yield named("subgraph-scan", "handle", text(SCAN, opset=18))
    constant = text(f"{IF} <bool k = {{1}}> {{ {branches.format('a = Abs(x)', 'b = Neg(x)').replace('(c)', '(k)')} }}")
    yield named("subgraph-constant-condition", "handle", constant, inputs=("x", "c"))


CASES = (*tensors(), *graphs(), *schemas(), *functions(), *subgraphs())
