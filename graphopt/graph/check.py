"""Validate a protobuf model before anything else touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphopt.graph.escape import quote
from graphopt.graph.survey import Survey
from graphopt.graph.validate_model import check_structure
from graphopt.graph.validate_schema import check_schemas

if TYPE_CHECKING:
    import onnx

    from graphopt.graph.external import DataFolder

__all__ = ["check"]


def check(proto: onnx.ModelProto, folder: DataFolder | None, name: str) -> Survey:
    """Refuse an invalid model; return what the walk found.

    `proto` is changed where the change has no meaning: nodes out of order are sorted, missing attribute types given,
    inner values that hide outer ones renamed. `name` is the model's name in messages.

    Raises `ModelError` for an invalid model and `UnsupportedError` for a valid one that cannot be kept whole.
    """
    survey = Survey(folder, quote(name))
    try:
        check_structure(proto, survey)
        check_schemas(proto, survey)
    except UnicodeDecodeError as error:
        raise survey.fail("a name is not UTF-8 text") from error
    return survey
