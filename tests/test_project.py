"""Hold the project to what it says about itself: its files, budgets, start-up and names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import graphopt

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "graphopt").rglob("*.py"), *(ROOT / "passes").rglob("*.py")])
FILE_LINES = 400
FUNCTION_LINES = 40
FUNCTION_BRANCHES = 8
RULE_LINES = 15
PUBLIC = [
    "BenchOptions",
    "GraphOptError",
    "Model",
    "Options",
    "Pass",
    "ProfileOptions",
    "Report",
    "Result",
    "Rule",
    "SurgeonPass",
    "__version__",
    "bench",
    "check",
    "compare",
    "from_graphsurgeon",
    "load",
    "optimize",
    "profile",
    "save",
    "to_graphsurgeon",
]
HEAVY = {"google", "ml_dtypes", "numpy", "onnx", "onnx_graphsurgeon", "onnx_ir", "onnxruntime", "sympy"}
# Put together here, so that this file does not hold them.
FOREIGN = ["../" + "shared", "/" + "work/", "/" + "root/"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]  # type: ignore[no-any-return]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(node: ast.stmt | ast.expr) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def branches(function: Function) -> int:
    """Count the branches of a function without those of the functions inside it."""
    inner = {node for other in functions(function) if other is not function for node in ast.walk(other)}
    kinds = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case)
    return sum(isinstance(node, kinds) for node in ast.walk(function) if node not in inner)


def place(path: Path, node: ast.stmt | ast.expr) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def calls_of(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def test_files_keep_their_budget() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_keep_their_budget() -> None:
    over = [
        f"{place(path, function)} {function.name}: {length(function)} lines"
        for path in SOURCES
        for function in functions(parse(path))
        if length(function) > FUNCTION_LINES
    ]
    assert over == []


def test_functions_keep_their_number_of_branches() -> None:
    over = [
        f"{place(path, function)} {function.name}: {branches(function)} branches"
        for path in SOURCES
        for function in functions(parse(path))
        if branches(function) > FUNCTION_BRANCHES
    ]
    assert over == []


def test_rules_keep_their_budget() -> None:
    over = []
    for path in SOURCES:
        tree = parse(path)
        rules = list(calls_of(tree, "Rule"))
        over += [f"{place(path, rule)}: a rule of {length(rule)} lines" for rule in rules if length(rule) > RULE_LINES]
        named = {
            keyword.value.id
            for rule in rules
            for keyword in rule.keywords
            if keyword.arg == "replace" and isinstance(keyword.value, ast.Name)
        }
        over += [
            f"{place(path, function)} {function.name}: a replacement of {length(function)} lines"
            for function in functions(tree)
            if function.name in named and length(function) > RULE_LINES
        ]
    assert over == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"base", "common", "helpers", "manager", "misc", "utils"}
    assert [str(path.relative_to(ROOT)) for path in SOURCES if path.stem in drawers] == []


def quick_start() -> list[tuple[str, str]]:
    """Return kind and text of the fenced blocks of README's quick start."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    found = [part for part in section if part.startswith("Quick start\n")]
    assert len(found) == 1
    return re.findall(r"^```(\w*)\n(.*?)^```$", found[0], flags=re.MULTILINE | re.DOTALL)


def test_readme_starts_with_two_commands() -> None:
    blocks = quick_start()
    assert [kind for kind, _ in blocks] == ["sh", "sh"]
    for _, text in blocks:
        assert len(text.splitlines()) == 1
        assert text.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert blocks[0][1].rstrip().endswith("&& .venv/bin/graphopt demo")
    assert "&& .venv/bin/pytest" in blocks[1][1]


def test_ci_runs_readmes_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "main_job=$(quick_start 1)" in script
    assert "tests=$(quick_start 2)" in script
    awk = re.search(r"awk -v wanted=\"\$1\" '(.*?)'", script, flags=re.DOTALL)
    assert awk is not None
    for number, (_, text) in enumerate(quick_start(), start=1):
        found = subprocess.run(
            ["awk", "-v", f"wanted={number}", awk.group(1), str(ROOT / "README.md")],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == text


def test_version_is_one() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert graphopt.__version__ == project()["version"] == versions[0]


def test_public_names_are_these() -> None:
    assert sorted(graphopt.__all__) == PUBLIC
    for name in graphopt.__all__:
        assert getattr(graphopt, name) is not None
    measuring = [graphopt.bench, graphopt.check, graphopt.compare, graphopt.profile]
    assert [verb.__name__ for verb in measuring] == ["bench", "check", "compare_models", "profile"]


def test_entry_points_resolve() -> None:
    fields = project()
    groups = {"console_scripts": fields["scripts"], **fields["entry-points"]}
    for group, points in groups.items():
        for name, value in points.items():
            assert EntryPoint(name, value, group).load() is not None


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "graphopt", "--help"], capture_output=True, text=True, check=True
    )
    assert "optimize" in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "click" in imported
    assert imported & HEAVY == set()


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_files_speak_of_the_project_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        for word in FOREIGN
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_demo_is_small() -> None:
    data = [path for path in (ROOT / "graphopt" / "demo").iterdir() if path.suffix != ".py" and path.is_file()]
    assert {path.name for path in data} == {"digits.npz", "digits.onnx"}
    assert sum(path.stat().st_size for path in data) < 500_000
