"""Kill, interrupt, crowd and starve the command line: the output is the old file or the new one, nothing beside."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import helper, numpy_helper

from graphopt.cli import main
from graphopt.demo import MODEL

ROOT = Path(__file__).parents[2]
SIDE = 1600
"""A weight of 1600 x 1600 floats: 10 MB, as has each of two layers."""

INTERRUPTED = {130, -signal.SIGINT}
"""Shells show both as 130. Python ends itself by the signal if it strikes within the text that `exec` runs."""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of 20 MB with something to rewrite."""
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(rng.standard_normal((SIDE, SIDE)).astype(np.float32), f"w{at}") for at in "ab"]
    nodes = [
        helper.make_node("MatMul", ["x", "wa"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "wb"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", SIDE]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    path = tmp_path_factory.mktemp("heavy") / "heavy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return an environment whose temporary files, and whose processes, can be told from all others."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "passes")])
    yield {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(scratch), "GRAPHOPT_TEST": str(tmp_path)}
    assert survivors(tmp_path) == []


def survivors(mark: Path, seconds: float = 10) -> list[psutil.Process]:
    """Return the processes of this test that still run after some time."""
    end = time.monotonic() + seconds
    while found := [each for each in psutil.process_iter() if marked(each, mark)]:
        if time.monotonic() > end:
            return found
        time.sleep(0.05)
    return []


def marked(process: psutil.Process, mark: Path) -> bool:
    try:
        return process.environ().get("GRAPHOPT_TEST") == str(mark) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def drive(place: dict[str, str], *argv: object) -> list[dict[str, Any]]:
    """Stop runs in the driver and return how each ended."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.driver", *map(str, argv)],
        cwd=ROOT,
        env=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def command(*argv: object) -> list[str]:
    return [sys.executable, "-m", "graphopt", *map(str, argv)]


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in argv])
    code = caught.value.code
    assert isinstance(code, int)
    return code


def optimized(model: Path, folder: Path) -> str:
    """Return the hash of what the model becomes."""
    path = folder / "wanted.onnx"
    assert run("optimize", model, "-o", path, "--verify", "off", "-q") == 0
    return sha256(path)


@pytest.mark.parametrize(("span", "count"), [("staged", 20), ("0.3", 10)])
def test_killed_at_any_moment_leaves_the_old_or_the_new_file(
    heavy: Path, place: dict[str, str], tmp_path: Path, span: str, count: int
) -> None:
    new = optimized(heavy, tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.onnx"
    output.write_bytes(MODEL.read_bytes())
    old = sha256(output)
    ended = drive(place, "SIGKILL", count, span, "optimize", heavy, "-o", output, "--verify", "off", "-q")
    assert {each["sha256"] for each in ended} <= {old, new}
    assert -signal.SIGKILL in {each["ended"] for each in ended}
    onnx.checker.check_model(onnx.load(output))
    # What the killed left behind is no obstacle.
    assert run("optimize", heavy, "-o", output, "--verify", "off", "-q") == 0
    assert sha256(output) == new


def test_the_killed_parent_leaves_no_worker(heavy: Path, place: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(command("optimize", heavy, "-o", tmp_path / "out.onnx", "-q"), env=place) as parent:
        children = wait_for_children(parent.pid)
        parent.kill()
    assert children
    assert survivors(tmp_path) == []
    assert not (tmp_path / "out.onnx").exists()


def wait_for_children(pid: int) -> list[psutil.Process]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = psutil.Process(pid).children()
        if found:
            return found
        time.sleep(0.005)
    return []


def test_ctrl_c_leaves_nothing(heavy: Path, place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.onnx"
    start = time.monotonic()
    assert run("optimize", heavy, "-o", tmp_path / "whole.onnx", "-q") == 0
    whole = time.monotonic() - start
    for span in (f"{whole:.2f}", "staged"):
        output.write_bytes(MODEL.read_bytes())
        old = sha256(output)
        for each in drive(place, "SIGINT", 8, span, "optimize", heavy, "-o", output, "-q"):
            assert each["ended"] in {*INTERRUPTED, 0}
            assert each["ended"] == 0 or each["sha256"] in {old, sha256(output)}
        assert [path.name for path in folder.iterdir()] == ["out.onnx"]
        assert list(Path(place["TMPDIR"]).iterdir()) == []
        assert survivors(tmp_path) == []


def test_ctrl_c_says_one_sentence(heavy: Path, place: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    argv = command("optimize", heavy, "-o", output)
    with subprocess.Popen(argv, env=place, stderr=subprocess.PIPE, text=True) as process:
        assert wait_for_children(process.pid)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode in INTERRUPTED
    # The empty line ends the one in which a terminal shows ^C.
    assert error == "\ngraphopt: interrupted; nothing was written\n"
    assert not output.exists()


def test_eight_at_once_write_one_output(place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.onnx"
    wanted = set()
    processes = []
    for at in range(8):
        model = tmp_path / f"{at}.onnx"
        proto = onnx.load(MODEL)
        proto.doc_string = f"number {at}"
        onnx.save(proto, model)
        wanted.add(optimized(model, tmp_path))
        argv = command("optimize", model, "-o", output, "--verify", "off", "-q")
        processes.append(subprocess.Popen(argv, env=place, stderr=subprocess.PIPE))
    seen = set()
    while any(process.poll() is None for process in processes):
        if output.exists():
            seen.add(sha256(output))
    assert {process.communicate()[1] for process in processes} == {b"NOT VERIFIED: --verify off\n"}
    assert [process.returncode for process in processes] == [0] * 8
    assert len(wanted) == 8
    assert seen | {sha256(output)} <= wanted
    assert [path.name for path in folder.iterdir()] == ["out.onnx"]


@pytest.mark.parametrize("argv", [("env",), ("optimize", MODEL, "--dry-run"), ("verify", MODEL, MODEL)])
def test_no_file_is_left_behind(place: dict[str, str], argv: tuple[object, ...]) -> None:
    """The runtime leaves one when it means to send usage data."""
    subprocess.run(command(*argv), env=place, capture_output=True, check=True)
    assert list(Path(place["TMPDIR"]).iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", folder], check=True)


def test_a_full_disk_keeps_the_old_file(heavy: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = small_disk / "out.onnx"
    output.write_bytes(b"old")
    assert run("optimize", heavy, "-o", output, "--verify", "off") == 5
    assert "no space left" in capsys.readouterr().err
    assert output.read_bytes() == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["out.onnx"]


def test_a_file_that_may_not_grow_keeps_the_old_one(heavy: Path, place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    output = folder / "out.onnx"
    output.write_bytes(b"old")
    done = subprocess.run(
        command("optimize", heavy, "-o", output, "--verify", "off"),
        env=place,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 5
    assert done.stderr.startswith("graphopt: cannot write the output: file too large")
    assert output.read_bytes() == b"old"
    assert [path.name for path in folder.iterdir()] == ["out.onnx"]


def odd_outputs(folder: Path) -> dict[str, Path]:
    """Return paths that no model can be written to."""
    (folder / "folder").mkdir()
    (folder / "file").touch()
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    (folder / "to-fifo").symlink_to("fifo")
    (folder / "to-folder").symlink_to("folder")
    names = ("folder", "fifo", "loop", "to-fifo", "to-folder", "file/below", "none/below")
    return {
        **{name: folder / name for name in names},
        "device": Path("/dev/null"),
        "full": Path("/dev/full"),
        "long": folder / ("n" * 300),
        "longer": folder / ("n" * 5000),
    }


def test_what_is_no_file_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, output in odd_outputs(tmp_path).items():
        before = sorted(tmp_path.rglob("*"))
        assert run("optimize", MODEL, "-o", output, "--verify", "off") == 5, name
        error = capsys.readouterr().err
        assert error.startswith("graphopt: "), name
        assert len(error.splitlines()) <= 3, name
        assert sorted(tmp_path.rglob("*")) == before, name
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.onnx").write_bytes(b"old")
    for name, to in (("link.onnx", "real.onnx"), ("dangling.onnx", "new.onnx")):
        (tmp_path / name).symlink_to(to)
        assert run("optimize", MODEL, "-o", tmp_path / name, "--verify", "off", "-q") == 0
        assert (tmp_path / name).is_symlink()
        onnx.checker.check_model(onnx.load(tmp_path / to))


def test_a_second_name_of_the_old_file_keeps_its_content(tmp_path: Path) -> None:
    output, other = tmp_path / "out.onnx", tmp_path / "other.onnx"
    output.write_bytes(b"old")
    other.hardlink_to(output)
    assert run("optimize", MODEL, "-o", output, "--verify", "off", "-q") == 0
    assert other.read_bytes() == b"old"


def test_a_hard_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    model, output = tmp_path / "net.onnx", tmp_path / "out.onnx"
    shutil.copyfile(MODEL, model)
    output.hardlink_to(model)
    before = model.read_bytes()
    assert run("optimize", model, "-o", output, "--verify", "off") == 2
    assert model.read_bytes() == before


def test_a_folder_that_takes_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of the kernel's takes none, whoever asks."""
    del tmp_path
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc")
    assert run("optimize", MODEL, "-o", "/proc/self/out.onnx", "--verify", "off") == 5
    assert "/proc" in capsys.readouterr().err
