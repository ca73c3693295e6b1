"""The same model and options give the same bytes: under another hash seed, in another process, in a second run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

import graphopt
from graphopt.demo import MODEL
from graphopt.runtime.process import Worker
from tests.system.backend_cases import cases
from tests.system.small_models import small_model

ROOT = Path(__file__).parents[2]
SEEDS = ("0", "1", "2")
SHARDS = 40
HASHES = """
import hashlib, json, pathlib, sys
import graphopt
from graphopt.runtime.process import Worker
found = {}
with Worker() as worker:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
        result = graphopt.optimize(path, sys.argv[2], verify="off", worker=worker)
        content = pathlib.Path(sys.argv[2]).read_bytes()
        found[path.name] = [hashlib.sha256(content).hexdigest(), result.report.rules, result.report.pipeline]
print(json.dumps(found, sort_keys=True))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models: the demo's, small ones, and some of ONNX's own tests."""
    root = tmp_path_factory.mktemp("models")
    shutil.copyfile(MODEL, root / "digits.onnx")
    for number in range(12):
        small_model(number, root / f"small{number}.onnx")
    for case in cases(0, SHARDS):
        onnx.save(case.model, root / f"{case.name}.onnx")
    return root


def test_hash_seeds_change_no_byte(folder: Path, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "passes")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HASHES, str(folder), str(tmp_path / f"{seed}.onnx")],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in SEEDS
    ]
    found = [json.loads(process.communicate()[0]) for process in processes]
    assert len(found[0]) > 50
    assert found[0] == found[1] == found[2]


def test_a_second_run_changes_no_byte(folder: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    changed = []
    with Worker() as worker:
        for path in sorted(folder.glob("*.onnx")):
            try:
                graphopt.optimize(path, once, verify="off", worker=worker)
            except graphopt.GraphOptError:
                continue
            report = graphopt.optimize(once, twice, verify="off", worker=worker).report
            if once.read_bytes() != twice.read_bytes():
                changed.append((path.name, report.rules))
    assert changed == []


def test_verifying_changes_no_byte(tmp_path: Path) -> None:
    hashes = set()
    for verify in ("off", "end", "each"):
        out = tmp_path / f"{verify}.onnx"
        graphopt.optimize(MODEL, out, verify=verify)
        hashes.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(hashes) == 1
