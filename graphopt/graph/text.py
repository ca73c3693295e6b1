"""Write and read models as onnx text."""

from __future__ import annotations

import re

import onnx
import onnx.parser
import onnx.printer

from graphopt.errors import ModelError
from graphopt.graph.escape import clean
from graphopt.graph.load import from_proto
from graphopt.graph.model import Model
from graphopt.graph.save import to_proto

__all__ = ["from_text", "parse_fixture_graph", "parse_model", "to_text"]

_HEADER = '<ir_version: 10, opset_import: ["" : 21]>\n'
_HAS_HEADER = re.compile(r"\s*(#[^\n]*\n\s*)*<")


def to_text(model: Model) -> str:
    """Return the model as onnx text, weights included; external data are named, not shown."""
    return str(onnx.printer.to_text(to_proto(model)))


def from_text(text: str) -> Model:
    """Parse onnx text and validate the model. Raises `ModelError` with the place of a syntax error."""
    return from_proto(parse_model(text))


def parse_fixture_graph(text: str) -> Model:
    """Parse onnx text as `from_text` does; without a header, IR version 10 and opset 21 are implied."""
    return from_text(text if _HAS_HEADER.match(text) else _HEADER + text)


def parse_model(text: str) -> onnx.ModelProto:
    """Parse onnx text to protobuf. Raises `ModelError` with the place of a syntax error."""
    try:
        return onnx.parser.parse_model(text)
    except onnx.parser.ParseError as error:
        raise ModelError("the text is not a model", where=clean(str(error), 800)) from error
