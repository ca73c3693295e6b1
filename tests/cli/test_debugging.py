"""bisect and reduce on a rule that is wrong, which a third party's package brings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from graphopt.demo import MODEL

WRONG = """
from graphopt.rewrite.rule import Rule

PASSES = (Rule(name="wrong-sigmoid", doc="Take Sigmoid for Tanh.", match="Sigmoid(x)", replace="Tanh(x)"),)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, and a package with a wrong rule."""
    info = tmp_path / "site" / "wrong-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[graphopt.passes]\nwrong = wrong_rules\n")
    (info.parent / "wrong_rules.py").write_text(WRONG)
    shutil.copyfile(MODEL, tmp_path / "net.onnx")
    return tmp_path


def graphopt(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    paths = [str(folder / "site"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    command = [sys.executable, "-m", "graphopt", *args]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def test_optimize_goes_on_without_it_and_says_so(folder: Path) -> None:
    done = graphopt(folder, "optimize", "net.onnx", "-q")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.count("ROLLED BACK: wrong-sigmoid at ") == 3
    assert "Tanh" not in {node.op_type for node in onnx.load(folder / "net.opt.onnx").graph.node}
    kept = list(folder.glob("net.opt.onnx.mismatch-*"))
    assert len(kept) == 3
    for pair in kept:
        before, after = (onnx.load(pair / name).graph.node for name in ("before.onnx", "after.onnx"))
        changed = [a for a, b in zip(before, after, strict=True) if a.op_type != b.op_type]
        assert [node.op_type for node in changed] == ["Sigmoid"]


def test_on_mismatch_fail_names_it(folder: Path) -> None:
    done = graphopt(folder, "optimize", "net.onnx", "--on-mismatch", "fail")
    assert done.returncode == 6
    assert "wrong-sigmoid" in done.stderr
    assert "--skip wrong-sigmoid" in done.stderr
    assert not (folder / "net.opt.onnx").exists()
    assert graphopt(folder, "optimize", "net.onnx", "--on-mismatch", "fail", "--skip", "wrong-sigmoid").returncode == 0


def test_bisect_names_it(folder: Path) -> None:
    done = graphopt(folder, "bisect", "net.onnx")
    assert done.returncode == 0
    assert "rule wrong-sigmoid at node " in done.stdout
    found = json.loads(graphopt(folder, "bisect", "net.onnx", "--format", "json").stdout)
    assert found["rule"] == "wrong-sigmoid"
    assert f"step {found['number']}:" in done.stdout
    assert "no rewrite" in graphopt(folder, "bisect", "net.onnx", "--pipeline", "fold-constants").stdout


def test_reduce_keeps_what_shows_it(folder: Path) -> None:
    done = graphopt(folder, "reduce", "net.onnx", "-o", "small.onnx")
    assert done.returncode == 0, done.stderr
    assert [node.op_type for node in onnx.load(folder / "small.onnx").graph.node] == ["Sigmoid"]
    again = graphopt(folder, "bisect", "small.onnx")
    assert "wrong-sigmoid" in again.stdout


def test_reduce_does_not_overwrite_its_input(folder: Path) -> None:
    before = (folder / "net.onnx").read_bytes()
    done = graphopt(folder, "reduce", "net.onnx", "-o", "net.onnx")
    assert done.returncode == 2
    assert (folder / "net.onnx").read_bytes() == before


def test_searching_cannot_be_told_not_to_compare(folder: Path) -> None:
    for command in (("bisect", "net.onnx"), ("reduce", "net.onnx", "-o", "small.onnx")):
        assert graphopt(folder, *command, "--verify", "off").returncode == 2
