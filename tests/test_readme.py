"""Hold the documents to the program: every command in them exists, and every example runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec
import numpy as np
import pytest

from graphopt import optimize
from graphopt.cli.app import app
from graphopt.demo import DATA, MODEL
from graphopt.pipeline.toml import read_run
from tests.report.results import measured, profiled

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# `reduce` needs a pipeline that goes wrong, which we do not ship.
NOT_RUN = {"reduce"}
# What an example stands on by more than the tests: without it, exit code 7 says so.
NEEDED = {"openvino": "openvino", "tensorrt": "tensorrt_rtx"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("graphopt ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as README supposes it: a model, its result, and samples."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(MODEL, "model.onnx")
    shutil.copyfile(MODEL, "model.opt.onnx")
    with np.load(DATA) as data:
        np.savez("samples.npz", pixels=data["pixels"][:4].astype(np.float32))
    (run_file,) = blocks("toml")
    Path("run.toml").write_text(run_file)
    return tmp_path


@pytest.fixture
def results(folder: Path) -> Path:
    """The folder with saved results too."""
    report = optimize("model.onnx", "out.onnx").report
    Path("out.onnx").unlink()
    made = {"optimize": report, "old": measured(("base", "fast")), "profile": profiled()}
    for name, each in (made | {"bench": made["old"]}).items():
        Path(f"{name}.json").write_bytes(msgspec.json.encode(each))
    return folder


def test_readme_shows_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line: str, folder: Path) -> None:
    name, *args = shlex.split(line)[1:]
    command = app.get_command(click.Context(app), name)
    assert command is not None, f"no command {name!r}"
    command.make_context(name, args)
    assert folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if line.split()[1] not in NOT_RUN])
def test_commands_run(line: str, results: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)], cwd=results, capture_output=True, text=True, check=False
    )
    missing = [name for name, module in NEEDED.items() if name in line and find_spec(module) is None]
    assert done.returncode == (7 if missing else 0), done.stderr
    assert done.stdout or missing


def test_python_runs(folder: Path) -> None:
    examples = blocks("python")
    assert examples
    for example in examples:
        brief = example.replace("budget_s=5", "budget_s=0.2")
        exec(compile(brief, "README.md", "exec"), {})  # noqa: S102
    assert (folder / "model.opt.onnx").read_bytes() != MODEL.read_bytes()


def test_run_file_is_understood(folder: Path) -> None:
    run = read_run(folder / "run.toml")
    assert run.models
    assert run.options.target == "ort-cpu"


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
