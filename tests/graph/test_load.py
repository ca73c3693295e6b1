"""Opening a model's file: whatever it is, one clear error or the model."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphopt.errors import GraphOptError, ModelError, UnsupportedError
from graphopt.graph.load import from_proto, load, loads
from graphopt.graph.save import to_bytes
from tests.graph.protos import LINEAR, differences, external_model, parse, write

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

NO_MODELS = {
    "empty": b"",
    "random": bytes(range(256)) * 16,
    "lfs": LFS,
    "html": b"  <!DOCTYPE html><html></html>",
    "pickle": pickle.dumps({"a": 1}),
    "zip": b"PK\x03\x04" + bytes(30),
    "zeros": bytes(4096),
    "endless varint": b"\xff" * 11,
    "huge length": b"\x3a\xff\xff\xff\xff\x07" + bytes(34),
    "no graph": b"\x08\x0a",
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(NO_MODELS[name])
    with pytest.raises(ModelError) as caught:
        load(path)
    assert caught.value.exit_code == 3
    assert "model.onnx" in str(caught.value)


def test_pointer_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(LFS)
    with pytest.raises(ModelError, match="git lfs pull"):
        load(path)


def test_places_that_are_no_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, message in [
        (tmp_path / "fifo", "not a regular file"),
        (Path(os.devnull), "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path, "folder"),
        (tmp_path / "missing.onnx", "no such file"),
        (tmp_path / "nul\0byte", "cannot read"),
    ]:
        with pytest.raises(ModelError, match=message):
            load(path)


def test_sparse_file_beyond_protobuf_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.write(b"\x08\x0a")
        file.truncate(3 << 30)
    with pytest.raises(ModelError, match="2 GiB"):
        load(path)


@pytest.mark.parametrize("size", range(1, 200, 7))
def test_truncated_model_is_refused_or_whole(size: int) -> None:
    data = parse(LINEAR).SerializeToString()
    with pytest.raises(ModelError):
        loads(data[: min(size, len(data) - 1)])


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_wrong_byte_never_raises_anything_else(place: int, byte: int) -> None:
    data = bytearray(parse(LINEAR).SerializeToString())
    data[place % len(data)] = byte
    error = None
    try:
        model = loads(bytes(data))
    except GraphOptError as raised:
        error = raised
    if error is None:
        assert loads(to_bytes(model)).graph.name == model.graph.name
        return
    assert error.exit_code in {3, 4}
    assert str(error).replace("\n", "").isprintable()


def test_text_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnxtxt"
    path.write_text(LINEAR)
    assert [node.op_type for node in load(path).graph] == ["MatMul"]
    path.write_bytes(b"\xff")
    with pytest.raises(ModelError, match="UTF-8"):
        load(path)


def test_path_is_kept_and_proto_unchanged(tmp_path: Path) -> None:
    proto = parse("g (float[2] x) => (float[2] y) { y = Relu(t) t = Neg(x) }")
    path = write(proto, tmp_path)
    assert load(path).path == path
    before = proto.SerializeToString()
    model = from_proto(proto)
    assert proto.SerializeToString() == before
    assert [node.op_type for node in model.graph] == ["Neg", "Relu"]
    assert "out of order" in model.remarks[0]


def test_external_data_need_a_folder() -> None:
    with pytest.raises(ModelError, match="no folder"):
        from_proto(external_model())


def test_training_information_is_refused_by_name() -> None:
    proto = parse(LINEAR)
    proto.training_info.add()
    with pytest.raises(UnsupportedError, match="training information"):
        from_proto(proto)


@pytest.mark.parametrize("ir_version", [3, 4, 7, 10])
def test_versions_survive(ir_version: int) -> None:
    proto = parse(LINEAR.replace("ir_version: 10", f"ir_version: {ir_version}").replace('"" : 21', '"" : 9'))
    if ir_version == 3:
        proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 3]))
    after = onnx.ModelProto.FromString(to_bytes(from_proto(proto)))
    assert differences(proto, after) == []


def test_alias_of_the_default_domain_survives() -> None:
    proto = parse(LINEAR)
    proto.opset_import[0].domain = "ai.onnx"
    model = from_proto(proto)
    assert model.opset() == 21
    assert onnx.ModelProto.FromString(to_bytes(model)).opset_import == proto.opset_import


def test_model_without_the_default_domain_survives() -> None:
    proto = parse(
        '<ir_version: 8, opset_import: ["ai.onnx.ml" : 3]>\n'
        'g (float[2, 3] x) => (float[2, 3] y) { y = ai.onnx.ml.Normalizer<norm = "L2">(x) }'
    )
    after = onnx.ModelProto.FromString(to_bytes(from_proto(proto)))
    assert differences(proto, after) == []
