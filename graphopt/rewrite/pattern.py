"""Parse the text of a rule into a pattern: a tree of operators over named values.

The text is ONNX calls in Python syntax, one statement a line; the last one is the root:

    x                     a value; the same name twice means the same value; `_` is any value, bound to nothing
    2.0                   a constant whose every element is that number
    None                  an input that is left out
    Add(x, y)             a node of ai.onnx; both orders are tried where the operator commutes
    com.microsoft.Gelu(x) a node of another domain
    (Add | Sub)(x, y)     a node of either type
    Softmax(x, axis=-1)   an attribute of that value, the standard's default counted; `axis=k` binds it to a name
    Concat(*xs)           binds all (remaining) inputs as a tuple
    Conv(x, w, opt(b))    an input that may be left out; `b` is then None
    Add(x, const(c))      an input that is a constant; opt(const(c)): a constant or left out
    skip(x)               x, or x behind any number of Cast and Identity
    (t := Relu(x))        names the inner result
    a, b = Split(x)       names several results of one node
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graphopt.errors import PipelineError

__all__ = ["COMMUTATIVE", "Bind", "Literal", "NodePattern", "Pattern", "parse"]

COMMUTATIVE = frozenset({"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Mul", "Or", "Xor"})
"""Operators of ai.onnx with two inputs whose order does not matter, not even for NaN."""


@dataclass(frozen=True)
class Bind:
    """Any value, or with `const` any constant, under a name; an empty name binds nothing."""

    name: str
    optional: bool = False
    rest: bool = False
    const: bool = False


@dataclass(frozen=True)
class Literal:
    """A constant whose every element is `number`, or with None an input that is left out."""

    number: float | None


@dataclass(frozen=True)
class NodePattern:
    """A node: `ops` are the (domain, type) pairs it may have; `attrs` maps to ("is", value) or ("bind", name)."""

    ops: tuple[tuple[str, str], ...]
    inputs: tuple[Pattern, ...]
    attrs: tuple[tuple[str, tuple[str, Any]], ...] = ()
    outputs: tuple[str, ...] = ("",)
    output: int = 0
    skip: bool = False
    commutes: bool = field(default=False)


Pattern = Bind | Literal | NodePattern


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.named: dict[str, tuple[NodePattern, int]] = {}
        self.roots: list[NodePattern | Bind] = []

    def run(self) -> tuple[NodePattern | Bind, ...]:
        lines = "\n".join(line.strip() for line in self.text.strip().splitlines())
        try:
            tree = ast.parse(lines)
        except SyntaxError as error:
            raise self.error(f"is not Python syntax ({error.msg})") from error
        for index, statement in enumerate(tree.body):
            self.statement(statement, last=index == len(tree.body) - 1)
        if not self.roots:
            raise self.error("has no root")
        return tuple(self.roots)

    def error(self, problem: str) -> PipelineError:
        return PipelineError(f"pattern {problem}", where=self.text.strip(), advice="see graphopt.rewrite.pattern")

    def statement(self, node: ast.stmt, *, last: bool) -> None:
        if isinstance(node, ast.Expr):
            parsed = self.expression(node.value)
            if isinstance(parsed, Literal):
                raise self.error("cannot be a number alone")
            self.roots.append(parsed)
            return
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            raise self.error("has a statement that is neither a call nor an assignment")
        target = node.targets[0]
        names = [target] if isinstance(target, ast.Name) else getattr(target, "elts", [])
        outputs = tuple("" if name.id == "_" else name.id for name in names if isinstance(name, ast.Name))
        pattern = self.expression(node.value)
        if not isinstance(pattern, NodePattern) or not outputs:
            raise self.error("assigns something that is not a node")
        pattern = NodePattern(pattern.ops, pattern.inputs, pattern.attrs, outputs, 0, pattern.skip, pattern.commutes)
        self.named.update({name: (pattern, index) for index, name in enumerate(outputs) if name})
        if last:
            self.roots.append(pattern)

    def expression(self, node: ast.expr) -> Pattern:
        if isinstance(node, ast.Name):
            return self.name(node.id)
        if isinstance(node, ast.NamedExpr):
            inner = self.expression(node.value)
            if not isinstance(inner, NodePattern):
                raise self.error("names something that is not a node")
            return NodePattern(inner.ops, inner.inputs, inner.attrs, (node.target.id,), 0, inner.skip, inner.commutes)
        if isinstance(node, ast.Starred) and isinstance(node.value, ast.Name):
            return Bind("" if node.value.id == "_" else node.value.id, rest=True)
        if isinstance(node, ast.Call):
            return self.call(node)
        return Literal(self.literal(node))

    def name(self, name: str) -> Pattern:
        if name in self.named:
            pattern, index = self.named[name]
            return NodePattern(
                pattern.ops, pattern.inputs, pattern.attrs, pattern.outputs, index, pattern.skip, pattern.commutes
            )
        return Bind("" if name == "_" else name)

    def literal(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise self.error(f"has {ast.unparse(node)!r}, which is no value") from error

    def call(self, node: ast.Call) -> Pattern:
        function = node.func
        inputs = tuple(self.expression(arg) for arg in node.args)
        if isinstance(function, ast.Name) and function.id in {"opt", "skip", "const"}:
            return self.modifier(function.id, inputs)
        ops = tuple(self.operators(function))
        attrs = tuple(
            (
                word.arg or "",
                ("bind", word.value.id) if isinstance(word.value, ast.Name) else ("is", self.literal(word.value)),
            )
            for word in node.keywords
        )
        commutes = len(inputs) == 2 and all(domain == "" and op in COMMUTATIVE for domain, op in ops)
        return NodePattern(ops, inputs, attrs, commutes=commutes)

    def modifier(self, kind: str, inputs: tuple[Pattern, ...]) -> Pattern:
        if len(inputs) != 1:
            raise self.error(f"gives {kind}() other than one argument")
        inner = inputs[0]
        if kind == "opt" and isinstance(inner, Bind):
            return Bind(inner.name, optional=True, const=inner.const)
        if kind == "const" and isinstance(inner, Bind):
            return Bind(inner.name, const=True)
        if kind == "skip" and isinstance(inner, NodePattern):
            return NodePattern(
                inner.ops, inner.inputs, inner.attrs, inner.outputs, inner.output, skip=True, commutes=inner.commutes
            )
        raise self.error(f"gives {kind}() what it does not take")

    def operators(self, node: ast.expr) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from self.operators(node.left)
            yield from self.operators(node.right)
            return
        domain, _, op_type = ast.unparse(node).rpartition(".")
        yield domain, op_type


@cache
def parse(text: str) -> tuple[NodePattern | Bind, ...]:
    """Parse a pattern or a replacement; the last item is the root, those before are further roots.

    Raises `PipelineError` on text that is not of the form above.
    """
    return _Parser(text).run()
