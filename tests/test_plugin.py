"""Install the example of a third party's package beside ours, and see its rule and its pass run."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import onnx
import onnx.parser
import pytest

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"
MODEL = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[n, 4] x) => (float[n, 4] y) {
  s = Abs(x)
  r = Cos(s)
  y = Mul(r, x)
}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the package is installed, as `pip install` leaves it."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    paths = [str(info.parent), str(PLUGIN), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def graphopt(*args: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "graphopt", *args], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_catalogue_lists_it(environment: dict[str, str]) -> None:
    listed = graphopt("passes", "--format", "csv", environment=environment)
    assert "drop-abs-under-cos" in listed
    assert "name-nodes" in listed
    assert "graphopt-example" in listed


def test_rule_and_pass_run(environment: dict[str, str], tmp_path: Path) -> None:
    before, after = tmp_path / "model.onnx", tmp_path / "after.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), before)
    pipeline = 'default, name-nodes{prefix="n/"}'
    graphopt("optimize", str(before), "-o", str(after), "--pipeline", pipeline, environment=environment)
    nodes = onnx.load(after).graph.node
    assert [node.op_type for node in nodes] == ["Cos", "Mul"]
    assert all(node.name for node in nodes)
    assert any(node.name.startswith("n/") for node in nodes)


def test_without_it_the_rule_does_not_run(tmp_path: Path) -> None:
    before, after = tmp_path / "model.onnx", tmp_path / "after.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), before)
    graphopt("optimize", str(before), "-o", str(after), environment=dict(os.environ))
    assert [node.op_type for node in onnx.load(after).graph.node] == ["Abs", "Cos", "Mul"]
