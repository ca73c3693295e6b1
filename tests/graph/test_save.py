"""Saving: the old file or the new one, at any moment, whatever happens."""

from __future__ import annotations

import functools
import itertools
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from graphopt.errors import GraphOptError, ModelError, OutputError
from graphopt.graph import data_file
from graphopt.graph._onnx_ir import ir
from graphopt.graph.external import ExternalData
from graphopt.graph.facts import Facts
from graphopt.graph.load import from_proto, load
from graphopt.graph.model import Model
from graphopt.graph.save import refresh_value_info, save, to_bytes, to_proto
from graphopt.graph.stage import stage
from graphopt.graph.text import parse_fixture_graph
from tests.graph.protos import LINEAR, constant, large_model, parse, weights

if TYPE_CHECKING:
    from _typeshed import TraceFunction

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

RELU = "g (float[2] x) => (float[2] y) { y = Relu(x) }"
NEG = "g (float[2] x) => (float[2] y) { y = Neg(x) }"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked process; return its wait status, 0 if it ended well."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        work()
    except GraphOptError as error:
        os._exit(error.exit_code)
    except BaseException:  # noqa: BLE001  nothing may leave the child
        os._exit(99)
    os._exit(0)


def run(path: Path, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.ones((2, size), np.float32)})[0])


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    model = from_proto(parse(LINEAR))
    save(model, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == to_bytes(model) == to_bytes(load(tmp_path / "out.onnx"))
    assert listing(tmp_path) == ["out.onnx"]


def test_initializers_get_no_value_info() -> None:
    assert len(to_proto(from_proto(parse(LINEAR))).graph.value_info) == 0


def test_external_data_are_written_beside_the_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    model = load(large_model(tmp_path))
    before = to_bytes(model)
    with stage(model, tmp_path / "out" / "new.onnx") as staged:
        expected = np.ones((2, 400), np.float32) @ weights(400)
        assert np.allclose(run(staged.model_path, 400), expected, atol=1e-4)
        assert not (tmp_path / "out" / "new.onnx").exists()
        staged.commit()
    assert np.allclose(run(tmp_path / "out" / "new.onnx", 400), expected, atol=1e-4)
    names = listing(tmp_path / "out")
    assert names == ["new.onnx", staged.data_name]
    assert to_bytes(model) == before
    tensor = model.graph.initializers["w"].const_value
    assert isinstance(tensor, ExternalData)
    assert tensor.folder.path == tmp_path


def test_saving_twice_gives_the_same_files(tmp_path: Path) -> None:
    model = load(large_model(tmp_path))
    contents = []
    for _ in range(2):
        save(model, tmp_path / "out.onnx")
        contents.append({name: (tmp_path / name).read_bytes() for name in listing(tmp_path)})
    assert contents[0] == contents[1]
    again = load(tmp_path / "out.onnx")
    save(again, tmp_path / "out.onnx")
    assert {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)} == contents[0]


def test_old_data_are_deleted_with_the_old_model(tmp_path: Path) -> None:
    first, second = (load(large_model(tmp_path, seed, f"{seed}.onnx")) for seed in (0, 1))
    save(first, tmp_path / "out.onnx")
    (tmp_path / "out.onnx.0123456789abcdef.data").write_bytes(b"another's")
    old = listing(tmp_path)
    save(second, tmp_path / "out.onnx")
    now = listing(tmp_path)
    assert len(now) == len(old)
    assert "out.onnx.0123456789abcdef.data" in now
    tensor = load(tmp_path / "out.onnx").graph.initializers["w"].const_value
    assert tensor is not None
    assert np.array_equal(tensor.numpy(), weights(400, 1))


def test_model_saved_over_itself_stays_readable(tmp_path: Path) -> None:
    save(load(large_model(tmp_path)), tmp_path / "out.onnx")
    model = load(tmp_path / "out.onnx")
    value = model.graph.initializers["w"]
    replaced = value.const_value
    value.const_value = ir.Tensor(weights(400, 7), name="w")
    model.graph.register_initializer(ir.Value(name="spare", const_value=ir.Tensor(weights(400, 8), name="spare")))
    assert replaced is not None
    model.graph.register_initializer(ir.Value(name="old", const_value=replaced))
    save(model, tmp_path / "out.onnx")
    assert np.array_equal(replaced.numpy(), weights(400))
    again = load(tmp_path / "out.onnx").graph.initializers
    for name, seed in (("w", 7), ("spare", 8), ("old", 0)):
        tensor = again[name].const_value
        assert tensor is not None
        assert np.array_equal(tensor.numpy(), weights(400, seed))


def test_large_models_get_a_data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_file, "EXTERNAL_BYTES", 4000)
    proto = parse("g (float[n, 400] x) => (float[n, 3] y) <float[3] b = {1, 2, 3}> { t = MatMul(x, w) y = Add(t, b) }")
    proto.graph.initializer.append(constant("w", weights(400)))
    save(from_proto(proto), tmp_path / "out.onnx")
    assert len(listing(tmp_path)) == 2
    held = onnx.load(tmp_path / "out.onnx", load_external_data=False).graph.initializer
    outside = {tensor.name: tensor.data_location == TensorProto.EXTERNAL for tensor in held}
    assert outside == {"w": True, "b": False}
    assert run(tmp_path / "out.onnx", 400).shape == (2, 3)


def test_tensors_of_one_content_are_written_once(tmp_path: Path) -> None:
    path = large_model(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    twin = proto.graph.initializer.add()
    twin.CopyFrom(proto.graph.initializer[0])
    twin.name = "twin"
    path.write_bytes(proto.SerializeToString())
    with stage(load(path), tmp_path / "out.onnx") as staged:
        assert staged.data_name is not None
        assert (staged.model_path.parent / staged.data_name).stat().st_size == 4800


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "missing folder", "read-only", "file as folder"])
def test_bad_places_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.onnx"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/full")
    elif kind == "missing folder":
        path = tmp_path / "none" / "out.onnx"
    elif kind == "file as folder":
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "out.onnx"
    else:
        path.write_bytes(b"old")
        # The superuser may write anything.
        monkeypatch.setattr(os, "access", lambda *_: False)
    before = listing(tmp_path)
    with pytest.raises(OutputError) as caught:
        save(from_proto(parse(RELU)), path)
    assert caught.value.exit_code == 5
    assert listing(tmp_path) == before


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "model.onnx"
    target.write_bytes(b"old")
    link = tmp_path / "link.onnx"
    link.symlink_to("real/model.onnx")
    save(from_proto(parse(RELU)), link)
    assert link.is_symlink()
    assert target.read_bytes() == to_bytes(from_proto(parse(RELU)))
    with pytest.raises(OutputError, match="link"):
        save(load(large_model(tmp_path)), link)


def test_mode_of_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    path.write_bytes(b"old")
    path.chmod(0o640)
    save(from_proto(parse(RELU)), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    save(from_proto(parse(RELU)), tmp_path / "new.onnx")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.onnx").stat().st_mode) == 0o666 & ~umask


def test_input_is_never_opened_for_writing(tmp_path: Path) -> None:
    path = large_model(tmp_path)
    for each in (path, tmp_path / "model.onnx.bin"):
        each.chmod(0o444)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in listing(tmp_path)}
    save(load(path), tmp_path / "out.onnx")
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("with_data", [False, True])
def test_full_disk_leaves_the_old_file(tmp_path: Path, *, with_data: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    save(from_proto(parse(NEG)), out / "out.onnx")
    before = (out / "out.onnx").read_bytes()
    model = load(large_model(tmp_path)) if with_data else from_proto(parse(LINEAR))

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        save(model, out / "out.onnx")

    assert os.waitstatus_to_exitcode(in_child(fill)) == 5
    assert listing(out) == ["out.onnx"]
    assert (out / "out.onnx").read_bytes() == before


@pytest.mark.parametrize("with_data", [False, True])
def test_killed_at_any_moment_leaves_old_or_new(tmp_path: Path, *, with_data: bool) -> None:
    models = [load(large_model(tmp_path, seed, f"{seed}.onnx")) for seed in (0, 1)]
    if not with_data:
        models = [from_proto(parse(text)) for text in (RELU, NEG)]
    outcomes = []
    for moment in itertools.count(1, 4):
        path = tmp_path / str(moment) / "out.onnx"
        path.parent.mkdir()
        save(models[0], path)
        status = in_child(functools.partial(save_and_die, models[1], path, moment))
        assert status in {0, signal.SIGKILL}
        outcomes.append(_which(path, with_data=with_data))
        if status == 0:
            break
    assert len(outcomes) > 20
    assert outcomes == sorted(outcomes)
    assert {*outcomes} == {0, 1}


def save_and_die(model: Model, path: Path, moment: int) -> None:
    """Save, and get killed before the given line of code of the saving modules runs."""
    left = moment

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction | None:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("stage.py", "data_file.py")):
            return None
        left -= event == "line"
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    save(model, path)


def _which(path: Path, *, with_data: bool) -> int:
    """Return 0 if the old model is whole and in place, 1 if the new one is."""
    model = load(path)
    if not with_data:
        return ["Relu", "Neg"].index(model.graph[0].op_type)
    tensor = model.graph.initializers["w"].const_value
    assert tensor is not None
    return [np.array_equal(tensor.numpy(), weights(400, seed)) for seed in (0, 1)].index(True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ModelError, MemoryError])
def test_interrupted_staging_leaves_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(large_model(tmp_path))
    before = listing(tmp_path), to_bytes(model)

    def interrupted(*_: object) -> None:
        raise error("now")

    monkeypatch.setattr(ExternalData, "tofile", interrupted)
    with pytest.raises(error):
        save(model, tmp_path / "out.onnx")
    assert (listing(tmp_path), to_bytes(model)) == before


def test_interrupted_commit_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, replaced = load(large_model(tmp_path)), []
    replace = Path.replace

    def second_fails(self: Path, target: Path) -> Path:
        replaced.append(target)
        if len(replaced) == 2:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(KeyboardInterrupt):
        save(model, tmp_path / "out.onnx")
    assert listing(tmp_path) == ["model.onnx", "model.onnx.bin"]


def test_discarded_or_committed_is_over(tmp_path: Path) -> None:
    model = load(large_model(tmp_path))
    before = listing(tmp_path)
    staged = stage(model, tmp_path / "out.onnx")
    staged.discard()
    staged.discard()
    assert listing(tmp_path) == before
    with pytest.raises(OutputError, match="already"):
        staged.commit()


def test_eight_writers_of_one_output(tmp_path: Path) -> None:
    models = [load(large_model(tmp_path, seed % 4, f"{seed}.onnx")) for seed in range(8)]
    out = tmp_path / "out"
    out.mkdir()

    def work(model: Model) -> None:
        for _ in range(5):
            save(model, out / "out.onnx")

    children = []
    for model in models:
        child = os.fork()
        if not child:
            os._exit(os.waitstatus_to_exitcode(in_child(functools.partial(work, model))))
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    tensor = load(out / "out.onnx").graph.initializers["w"].const_value
    assert tensor is not None
    assert any(np.array_equal(tensor.numpy(), weights(400, seed)) for seed in range(4))
    assert len(listing(out)) == 2


def test_hints_are_corrected_and_none_added() -> None:
    proto = parse("g (float[n, 4] x) => (float[m, k] y) { a = Neg(x) b = Abs(a) c = far.Magic(b) y = Relu(c) }")
    proto.opset_import.append(helper.make_opsetid("far", 1))
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.INT64, [9, 9, 9]))
    proto.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [5, 5]))
    model = from_proto(proto)
    refresh_value_info(model, Facts(model))
    hints = {value.name: value for value in to_proto(model).graph.value_info}
    assert hints == {
        "a": helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 4]),
        "c": helper.make_tensor_value_info("c", TensorProto.FLOAT, [5, 5]),
    }


def test_right_hints_stay_as_they_are() -> None:
    proto = parse("g (float[n, 4] x) => (float[n, 4] y) { a = Neg(x) y = Abs(a) }")
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", 4], "doc"))
    model = from_proto(proto)
    refresh_value_info(model, Facts(model))
    assert list(to_proto(model).graph.value_info) == list(proto.graph.value_info)


def test_too_large_for_protobuf_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise ValueError("too large")

    model = parse_fixture_graph(RELU)
    monkeypatch.setattr("graphopt.graph.save.to_proto", lambda _: type("P", (), {"SerializeToString": refuse})())
    with pytest.raises(OutputError, match="2 GiB"):
        to_bytes(model)
