"""Test every registered whole-graph pass with what follows from its fixture file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model
from graphopt.kinds import EXACTNESS_ORDER, Exactness
from graphopt.pipeline.context import Context, Evaluate
from graphopt.pipeline.passes import Pass
from graphopt.rewrite.driver import Selection
from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Steps
from graphopt.runtime.evaluate import evaluate
from graphopt.runtime.process import Worker
from graphopt_passes import PASSES
from tests.library.fixture import Case, model_of, read_cases, write_cases
from tests.library.harness import assert_equivalent
from tests.library.normal import normal_text

ROUNDING = {"narrow-precision", "store-narrow"}
"""Passes whose results differ from the original, and are judged by test_narrow_precision.py."""
FOLDER = Path(__file__).parent / "pass_fixtures"
KINDS: dict[str, type[Pass]] = {
    entry.name: entry for entry in PASSES if not isinstance(entry, Rule) and (FOLDER / f"{entry.name}.txt").exists()
}
each_case = pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for name, kind in KINDS.items() for case in read_cases(FOLDER / f"{name}.txt")],
    ids=lambda item: item.title if isinstance(item, Case) else item.name,
)


@dataclass(frozen=True)
class Judge:
    """What the comparison of results asks of a rule, for a pass."""

    name: str
    exactness: Exactness
    fast_math: bool = False


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluate]:
    with Worker() as worker:
        yield lambda data, names: evaluate(worker, data, names)


def apply(
    kind: type[Pass], proto: onnx.ModelProto, run: Evaluate, steps: Steps | None = None
) -> tuple[onnx.ModelProto, int]:
    model = Model(ir.from_proto(proto))
    # What is approximate runs for a target only, and so does what is for its memory.
    portable = kind.exactness in Selection().allowed and kind.name != "forget-sizes"
    target = "portable" if portable else "ort-cpu"
    selection = Selection(target, allowed=tuple(EXACTNESS_ORDER))
    count = kind().run(model, Context(model, steps or Steps(), selection, evaluate=run))
    result: onnx.ModelProto = ir.to_proto(model.ir)
    return result, count


def test_every_pass_has_a_fixture() -> None:
    known = {entry.name for entry in PASSES if not isinstance(entry, Rule)} - ROUNDING
    assert known == {path.stem for path in FOLDER.glob("*.txt")}


@each_case
def test_golden(kind: type[Pass], case: Case, evaluator: Evaluate, request: pytest.FixtureRequest) -> None:
    after, count = apply(kind, model_of(case.before), evaluator)
    if request.config.getoption("--update-golden"):
        update_golden(kind, case, normal_text(after))
        return
    assert (count > 0) == (case.kind == "rewrite")
    wanted = case.after if case.kind == "rewrite" else case.before
    assert normal_text(after) == normal_text(model_of(wanted))


@each_case
def test_second_run_changes_nothing(kind: type[Pass], case: Case, evaluator: Evaluate) -> None:
    after, _ = apply(kind, model_of(case.before), evaluator)
    again, count = apply(kind, after, evaluator)
    assert count == 0
    assert again.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True)


@each_case
def test_equivalent(kind: type[Pass], case: Case, evaluator: Evaluate) -> None:
    after, _ = apply(kind, model_of(case.before), evaluator)
    judge: Any = Judge(kind.name, kind.exactness)
    if case.kind == "rewrite":
        assert_equivalent(case, after, judge)


@each_case
def test_valid(kind: type[Pass], case: Case, evaluator: Evaluate) -> None:
    before = model_of(case.before)
    after, _ = apply(kind, before, evaluator)
    if before.ir_version >= 4:
        # Below, saving lists every initializer as an input.
        onnx.checker.check_model(after, full_check=True)
    for old, new in ((before.graph.input, after.graph.input), (before.graph.output, after.graph.output)):
        assert [value.SerializeToString() for value in old] == [value.SerializeToString() for value in new]


@each_case
def test_withheld_steps_change_nothing(kind: type[Pass], case: Case, evaluator: Evaluate) -> None:
    before = model_of(case.before)
    after, count = apply(kind, before, evaluator, Steps(limit=0))
    assert count == 0
    assert normal_text(after) == normal_text(before)


def update_golden(kind: type[Pass], case: Case, text: str) -> None:
    path = FOLDER / f"{kind.name}.txt"
    cases = [
        Case(each.kind, each.title, each.before, text if each == case and each.kind == "rewrite" else each.after)
        for each in read_cases(path)
    ]
    write_cases(path, tuple(cases))
