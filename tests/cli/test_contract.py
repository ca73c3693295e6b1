"""The command line's contract: exit codes, what is written, and messages of one kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest

from graphopt.cli import main
from graphopt.cli.app import app
from graphopt.demo import MODEL

UNSIGNED = "Traceback"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the demo's network in a folder of its own."""
    path = tmp_path / "net.onnx"
    shutil.copyfile(MODEL, path)
    return path


def run(*argv: object) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_optimize_writes_beside_the_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimize", model) == 0
    shown = capsys.readouterr().out
    before, after = onnx.load(model), onnx.load(model.with_name("net.opt.onnx"))
    assert len(after.graph.node) < len(before.graph.node)
    assert [value.name for value in after.graph.input] == [value.name for value in before.graph.input]
    assert list(after.graph.output) == list(before.graph.output)
    assert "verified: the same results" in shown
    assert sorted(path.name for path in model.parent.iterdir()) == ["net.onnx", "net.opt.onnx"]


def test_a_second_run_changes_no_byte(model: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    assert run("optimize", model, "-o", once) == 0
    assert run("optimize", once, "-o", twice) == 0
    assert once.read_bytes() == twice.read_bytes()


def test_json_is_the_report(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimize", model, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["after"]["nodes"] < report["before"]["nodes"]
    assert report["verification"]["status"] == "same"
    assert report["machine"]["cores"]
    assert report["versions"]["onnxruntime"]
    assert sum(report["rules"].values()) == sum(each["changes"] for each in report["passes"])


@pytest.mark.parametrize("command", sorted(app.commands))
def test_help_shows_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    shown = capsys.readouterr().out
    options = [name for param in app.commands[command].params for name in param.opts if name.startswith("--")]
    assert {name: shown.count(f"{name} ") for name in options if f"{name} " not in shown} == {}


def test_dry_run_writes_nothing(model: Path) -> None:
    assert run("optimize", model, "--dry-run") == 0
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--target", "ort-gpu"), 2, "did you mean 'ort-cpu'"),
        (("--skip", "fuze"), 2, "did you mean 'fuse'"),
        (("--pipeline", "defautl"), 2, "did you mean 'default'"),
        (("--pipeline", "simplfy"), 2, "did you mean 'simplify'"),
        (("--pipeline", "a,,b"), 2, "cannot be read"),
        (("--pipeline", "none.toml"), 2, "cannot be read"),
        (("--pipeline", "fold-constants{max-byte=1}"), 2, "did you mean 'max-bytes'"),
        (("--pipeline", "fold-constants{max-bytes=x}"), 2, "expected int"),
        (("--dim", "batch"), 2, "NAME=N"),
        (("--dim", "nothing=1"), 2, "has no dimension"),
        (("--exact", "--fast-math"), 2, "contradict"),
        (("--freeze", "--keep-overridable"), 2, "contradict"),
        (("--no-such-option",), 2, "no-such-option"),
        (("--task", "missing.py"), 3, "does not exist"),
        (("-o", "no/such/folder/out.onnx"), 5, "no/such/folder"),
    ],
)
def test_bad_requests(
    model: Path, capsys: pytest.CaptureFixture[str], extra: tuple[str, ...], code: int, words: str
) -> None:
    output = () if "-o" in extra else ("-o", model.parent / "out.onnx")
    assert run("optimize", model, *output, *extra) == code
    error = capsys.readouterr().err
    assert words in error
    assert UNSIGNED not in error
    assert [path.name for path in model.parent.iterdir()] == ["net.onnx"]


def test_the_input_is_not_overwritten_unasked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = model.read_bytes()
    link = model.parent / "link.onnx"
    link.symlink_to(model)
    for output in (model, link):
        assert run("optimize", model, "-o", output) == 2
        assert "--in-place" in capsys.readouterr().err
    assert model.read_bytes() == before
    assert run("optimize", model, "-o", model, "--in-place") == 0
    after = model.read_bytes()
    assert after != before
    model.write_bytes(before)
    assert run("optimize", model, "--in-place") == 0
    assert model.read_bytes() == after
    assert not model.with_name("net.opt.onnx").exists()


def test_latency_is_in_the_report(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ("--dry-run", "--in-place"):
        assert run("optimize", model, "--latency", extra) == 2
        assert extra in capsys.readouterr().err


def test_what_cannot_run_is_not_timed_and_not_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "my.ops" : 1]>
    g (float[n] x) => (float[n] y) { a = Identity(x) b = my.ops.Mine(a) y = Identity(b) }"""
    path, library = tmp_path / "net.onnx", tmp_path / "no_library.so"
    onnx.save(onnx.parser.parse_model(text), path)
    library.write_bytes(b"none")
    assert run("optimize", path, "--latency") == 0
    shown = capsys.readouterr().out
    assert "note: latency not measured: " in shown
    assert "NOT VERIFIED: " in shown
    assert [node.op_type for node in onnx.load(tmp_path / "net.opt.onnx").graph.node] == ["Mine"]
    (tmp_path / "net.opt.onnx").unlink()
    assert run("optimize", path, "--require-verify") == 6
    assert not (tmp_path / "net.opt.onnx").exists()


def test_a_folder_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (".", "..", "/"):
        assert run("optimize", name) == 3
        assert "folder" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"not a model at all", ""), (None, "")])
def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    assert run("optimize", path) == 3
    error = capsys.readouterr().err
    assert words in error
    assert "bad.onnx" in error
    assert UNSIGNED not in error
    assert not path.with_name("bad.opt.onnx").exists()


def test_a_full_device_keeps_the_old_file(model: Path) -> None:
    assert run("optimize", model, "-o", "/dev/full") == 5
    assert Path("/dev/full").is_char_device()


def test_a_read_only_folder_is_said_so(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert run("optimize", model, "-o", folder / "out.onnx") == 5
    assert "locked" in capsys.readouterr().err


def test_an_ended_reader_is_no_error() -> None:
    command = f"{sys.executable} -m graphopt passes | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - a pipe
    assert done.returncode == 0
    assert done.stderr == ""


def test_verify_tells_the_same_from_the_different(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("optimize", model, "-q") == 0
    result = model.with_name("net.opt.onnx")
    assert run("verify", model, result) == 0
    assert run("verify", result, "--manifest") == 0
    proto = onnx.load(result)
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(proto, result)
    capsys.readouterr()
    assert run("verify", model, result) == 6
    assert "differ" in capsys.readouterr().err
    assert run("verify", result, "--manifest") == 6
    assert run("verify", model, "--manifest") == 3


def test_looking_changes_nothing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = model.read_bytes()
    for command in (("inspect", model), ("inspect", model, "--text"), ("check", model), ("diff", model, model)):
        assert run(*command) == 0
    shown = capsys.readouterr().out
    assert "no difference" in shown
    assert "Conv" in shown
    assert model.read_bytes() == before


def test_passes_describes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("passes", "fold-constants") == 0
    assert "max-bytes" in capsys.readouterr().out
    assert run("passes", "fold-constant") == 2
    assert "did you mean 'fold-constants'" in capsys.readouterr().err
