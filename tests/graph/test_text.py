"""The text form: read, written, and short for fixtures."""

from __future__ import annotations

import pytest

from graphopt.errors import ModelError
from graphopt.graph.save import to_bytes
from graphopt.graph.text import from_text, parse_fixture_graph, to_text

GRAPH = """g (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}> {
  [first] t = MatMul(x, w)
  y = Relu(t)
}"""


def test_header_is_implied_only_where_it_is_missing() -> None:
    implied = parse_fixture_graph(GRAPH)
    assert (implied.ir.ir_version, implied.opset()) == (10, 21)
    given = parse_fixture_graph(f'<ir_version: 8, opset_import: ["" : 17]>\n{GRAPH}')
    assert (given.ir.ir_version, given.opset()) == (8, 17)


def test_text_comes_back() -> None:
    model = parse_fixture_graph(GRAPH)
    text = to_text(model)
    assert "MatMul" in text
    assert to_text(from_text(text)) == text
    assert to_bytes(from_text(text)) == to_bytes(model)


@pytest.mark.parametrize("text", ["", "g (", GRAPH.replace("MatMul(x, w)", "MatMul(x, w"), "<ir_version: 8>"])
def test_syntax_error_is_one_error(text: str) -> None:
    with pytest.raises(ModelError):
        parse_fixture_graph(text)


def test_invalid_model_is_refused() -> None:
    with pytest.raises(ModelError, match="nowhere"):
        parse_fixture_graph("g (float[1] x) => (float[1] y) { y = Add(x, z) }")
