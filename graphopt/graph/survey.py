"""Note, while a model is validated, what the IR cannot hold and what the user should know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphopt.errors import ModelError
from graphopt.graph.escape import quote

if TYPE_CHECKING:
    import onnx

    from graphopt.graph.external import DataFolder

__all__ = ["Survey"]


@dataclass
class Survey:
    """What one walk over a protobuf model found. All members refer into that model.

    `folder` opens external data; None where there is no folder. `attributes`, `values` and `graphs` are those with
    content that the IR cannot hold; `described` are tensors with metadata of their own.
    """

    folder: DataFolder | None
    where: str
    attributes: list[onnx.AttributeProto] = field(default_factory=list)
    values: list[onnx.ValueInfoProto] = field(default_factory=list)
    graphs: list[onnx.GraphProto] = field(default_factory=list)
    described: list[onnx.TensorProto] = field(default_factory=list)
    external: bool = False
    remarks: list[str] = field(default_factory=list)

    def require_text(self, parts: Iterable[str], at: str) -> None:
        """Refuse text that is not UTF-8; protobuf gives it as bytes."""
        try:
            "".join(parts)
        except TypeError:
            raise self.fail("text in the model is not UTF-8", at=at) from None

    def require_entries(self, entries: Iterable[onnx.StringStringEntryProto], at: str) -> None:
        """Refuse keys and values that are not UTF-8, and a key that is stated twice: one of the two would be lost."""
        seen = set()
        for entry in entries:
            self.require_text((entry.key, entry.value), at)
            if entry.key in seen:
                raise self.fail(f"the key {quote(entry.key)} is stated twice", at=at)
            seen.add(entry.key)

    def fail(self, what: str, *, at: str = "", advice: str = "") -> ModelError:
        """Build the error for a fault `at` a place of this model."""
        where = f"{at} in {self.where}" if at else f"in {self.where}"
        return ModelError(what, where=where, advice=advice)
