"""Test every registered rule with what follows from its fixture file."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import onnx
import pytest

from graphopt.rewrite.rule import Rule
from graphopt.rewrite.steps import Steps
from tests.library.fixture import FIXTURES, Case, find_fixture, model_of, read_cases, write_cases
from tests.library.harness import RULES, apply_rule, assert_equivalent, bound_names, without
from tests.library.normal import normal_text

STAGES = {"simplify", "recognize", "fuse", "steer", "explore", ""}
DECLINES = "the replacement declines"
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@cache
def cases_of(rule: Rule) -> tuple[Case, ...]:
    path = find_fixture(rule.name)
    assert path is not None, f"{rule.name} has no fixture file tests/library/fixtures/<family>/<rule_name>.txt"
    return read_cases(path)


@cache
def rewritten(rule: Rule) -> tuple[tuple[Case, onnx.ModelProto, int], ...]:
    return tuple((case, *apply_rule(rule, model_of(case.before))) for case in cases_of(rule))


@each_rule
def test_golden(rule: Rule, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        update_golden(rule)
    assert any(case.kind == "rewrite" for case in cases_of(rule)), "no case shows what the rule does"
    for case, after, count in rewritten(rule):
        assert (count > 0) == (case.kind == "rewrite"), f"{case.title}: {count} rewrites"
        # What holds constants too big for the text is not parsed again.
        printed = case.kind == "rewrite" and " of norm " in case.after
        wanted = case.after if case.kind == "rewrite" else case.before
        assert normal_text(after) == (wanted if printed else normal_text(model_of(wanted))), case.title


@each_rule
def test_fixpoint(rule: Rule) -> None:
    for case, after, _ in rewritten(rule):
        assert apply_rule(rule, after)[1] == 0, f"{case.title}: a second run finds more"


@each_rule
def test_equivalent(rule: Rule) -> None:
    for case, after, _ in rewritten(rule):
        assert_equivalent(case, after, rule)


@each_rule
def test_valid(rule: Rule) -> None:
    for case, after, _ in rewritten(rule):
        before = model_of(case.before)
        for model in (before, after):
            onnx.checker.check_model(model, full_check=True)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        assert list(before.graph.input) == list(after.graph.input), case.title
        assert list(before.graph.output) == list(after.graph.output), case.title


@each_rule
def test_witness(rule: Rule) -> None:
    kept = [case for case in cases_of(rule) if case.kind == "keep"]
    for index, condition in enumerate(rule.where):
        weaker = without(rule, index)
        assert any(applies(weaker, case) for case in kept), f"no `keep` case needs the condition {condition.name}"


@each_rule
def test_described(rule: Rule) -> None:
    path = find_fixture(rule.name)
    assert path is not None
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name)
    assert re.fullmatch(r"[A-Z][^\n]*[^\s.]\.", rule.doc), "the doc is one sentence with a stop"
    assert rule.doc.split()[0].rstrip("s") == rule.doc.split()[0], "the doc is in the imperative"
    assert rule.stage in STAGES
    assert rule.min_opset <= rule.max_opset
    assert len({condition.name for condition in rule.where}) == len(rule.where)
    if isinstance(rule.replace, str):
        unknown = bound_names(rule.replace) - bound_names(rule.match)
        assert not unknown, f"the replacement names {unknown}, which the pattern does not bind"
    titles = [case.title for case in read_cases(path)]
    assert len(set(titles)) == len(titles)


def test_every_fixture_has_a_rule() -> None:
    names = {path.stem.replace("_", "-") for path in FIXTURES.glob("*/*.txt")}
    assert names <= set(RULES)


def test_a_broken_fixture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rule.txt"
    path.write_text("=== rewrite: no after\ng () => () {}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="after"):
        read_cases(path)


def applies(rule: Rule, case: Case) -> bool:
    """Tell whether the rule goes as far as its replacement at the case, whatever becomes of it there."""
    try:
        return apply_rule(rule, model_of(case.before), tried := Steps(remarks=True))[1] > 0 or any(
            remark.text == DECLINES for remark in tried.remarks
        )
    except Exception:  # noqa: BLE001 - a rule without one of its conditions may run into anything
        return True


def update_golden(rule: Rule) -> None:
    path = find_fixture(rule.name)
    assert path is not None
    results = rewritten(rule)
    cases = tuple(
        replace(case, after=normal_text(after)) if case.kind == "rewrite" else case for case, after, _ in results
    )
    if any(
        case.kind == "rewrite"
        and old.after != case.after
        and (not old.after or normal_text(model_of(old.after)) != case.after)
        for old, case in zip(cases_of(rule), cases, strict=True)
    ):
        write_cases(path, cases)
        cases_of.cache_clear()
        rewritten.cache_clear()
