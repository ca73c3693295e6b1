"""External data: only plain files of the model's folder, exactly the bytes that the tensor needs, never read whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.external import DataFolder, ExternalData
from graphopt.graph.load import load
from graphopt.graph.save import to_bytes
from tests.graph.protos import external_model, parse, weights, write

SECRET = b"SECRET" * 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a model folder with 48 good bytes in w.bin and sub/w.bin, beside a secret file of 48 bytes."""
    inside = tmp_path / "model"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(SECRET)
    for path in (inside / "w.bin", inside / "sub" / "w.bin"):
        path.write_bytes(weights().tobytes())
    return inside


def test_good_data_are_mapped(folder: Path) -> None:
    for location in ("w.bin", "sub/w.bin", "./w.bin", "sub//w.bin"):
        model = load(write(external_model(location, offset="0", length="48"), folder))
        tensor = model.graph.initializers["w"].const_value
        assert isinstance(tensor, ExternalData)
        assert np.array_equal(tensor.numpy(), weights())
        assert tensor.tobytes() == weights().tobytes()
        assert not tensor.numpy().flags.writeable
        assert b"external_data" not in to_bytes(model)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "../secret.bin",
        "sub/../../secret.bin",
        "sub/../w.bin",
        "/etc/hostname",
        "w.bin\0.txt",
        "missing.bin",
        "sub",
        ".",
    ],
)
def test_bad_location_is_refused(location: str, folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load(write(external_model(location), folder))
    assert "SECRET" not in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    (folder / "link.bin").symlink_to("../secret.bin")
    (folder / "out").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    for location in ("link.bin", "out/secret.bin", "loop"):
        with pytest.raises(ModelError, match="refused"):
            load(write(external_model(location), folder))


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    (folder / "link.bin").symlink_to("sub/w.bin")
    (folder / "inner").symlink_to("sub")
    for location in ("link.bin", "inner/w.bin"):
        model = load(write(external_model(location), folder))
        tensor = model.graph.initializers["w"].const_value
        assert tensor is not None
        assert np.array_equal(tensor.numpy(), weights())


def test_hard_links_fifos_and_devices_are_refused(folder: Path) -> None:
    os.link(folder.parent / "secret.bin", folder / "hard.bin")
    os.mkfifo(folder / "fifo")
    for location, message in (("hard.bin", "hard link"), ("fifo", "not a regular file")):
        with pytest.raises(ModelError, match=message):
            load(write(external_model(location), folder))


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": "-8"},
        {"offset": "1.5"},
        {"offset": "8"},
        {"offset": "1" * 30},
        {"offset": str(1 << 60)},
        {"length": "12abc"},
        {"length": "-1"},
        {"length": "47"},
        {"length": "49"},
        {"length": str(1 << 40)},
    ],
)
def test_bad_range_is_refused(fields: dict[str, str], folder: Path) -> None:
    with pytest.raises(ModelError):
        load(write(external_model(**fields), folder))


def test_data_inside_and_outside_are_refused(folder: Path) -> None:
    proto = external_model()
    proto.graph.initializer[0].raw_data = bytes(48)
    with pytest.raises(ModelError, match="both"):
        load(write(proto, folder))
    proto = external_model()
    proto.graph.initializer[0].external_data.add(key="location", value="w.bin")
    with pytest.raises(ModelError, match="twice"):
        load(write(proto, folder))


def test_every_place_of_a_tensor_is_checked(folder: Path) -> None:
    branch = parse(
        "g (bool c, float[2] x) => (float[2] y) { y = If(c) <"
        "then_branch = a () => (float[2] p) <float[2] k = {1, 2}> { p = Add(x, k) },"
        "else_branch = b () => (float[2] q) { k2 = Constant<value = float[2] {1, 2}>() q = Add(x, k2) }> }"
    )
    then, other = (attribute.g for attribute in branch.graph.node[0].attribute)
    for tensor in (then.initializer[0], other.node[0].attribute[0].t):
        proto = onnx.ModelProto()
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../secret.bin")
        proto.CopyFrom(branch)
        with pytest.raises(ModelError, match="leads out"):
            load(write(proto, folder))
        tensor.external_data[0].value = "w.bin"
    model = load(write(branch, folder))
    tensors = [graph.initializers["k"].const_value for graph in model.scopes() if "k" in graph.initializers]
    constants = [
        node.attributes["value"].as_tensor() for graph in model.scopes() for node in graph if "value" in node.attributes
    ]
    for held in (*tensors, *constants):
        assert isinstance(held, ExternalData)
        assert np.array_equal(held.numpy(), weights().ravel()[:2])


def test_a_file_that_changes_is_noticed(folder: Path) -> None:
    model = load(write(external_model(), folder))
    (folder / "w.bin").unlink()
    (folder / "w.bin").write_bytes(bytes(48))
    tensor = model.graph.initializers["w"].const_value
    assert tensor is not None
    with pytest.raises(ModelError, match="changed"):
        tensor.numpy()


def test_kept_data_outlive_their_file(folder: Path) -> None:
    model = load(write(external_model(), folder))
    tensor = model.graph.initializers["w"].const_value
    assert isinstance(tensor, ExternalData)
    tensor.folder.keep_file(folder / "w.bin")
    (folder / "w.bin").unlink()
    assert np.array_equal(tensor.numpy(), weights())
    with (folder / "copy").open("wb") as file:
        tensor.tofile(file)
    assert (folder / "copy").read_bytes() == weights().tobytes()


@pytest.mark.parametrize(
    "dtype", ["INT4", "UINT4", "FLOAT4E2M1", "INT2", "BFLOAT16", "FLOAT8E4M3FN", "BOOL", "COMPLEX64"]
)
def test_every_kind_of_element_is_read_as_inside_the_model(dtype: str, folder: Path) -> None:
    kind = ir.DataType[dtype]
    size = (5 * kind.bitwidth + 7) // 8
    data = bytes([1, 0] * size)[:size] if dtype == "BOOL" else bytes(range(17, 17 + size))
    if kind.bitwidth < 8:
        # The unused bits of the last byte are zero.
        data = data[:-1] + bytes([data[-1] & (1 << 5 * kind.bitwidth % 8) - 1])
    (folder / "e.bin").write_bytes(b"12345678" + data)
    inside = TensorProto(name="k", data_type=kind.value, dims=[5], raw_data=data)
    outside = ir.ExternalTensor("e.bin", 8, size, kind, shape=ir.Shape([5]), name="k")
    held, files = ExternalData(outside, DataFolder(folder)), ir.from_proto(inside)
    assert held.numpy().dtype == files.numpy().dtype
    assert held.numpy().tobytes() == files.numpy().tobytes()
    assert held.tobytes() == files.tobytes() == data


def test_many_files_do_not_use_up_descriptors(folder: Path) -> None:
    data = DataFolder(folder)
    arrays = []
    for index in range(300):
        (folder / f"{index}.bin").write_bytes(bytes([index % 251]) * 8)
        outside = ir.ExternalTensor(f"{index}.bin", 0, 8, ir.DataType.UINT8, shape=ir.Shape([8]), name="k")
        arrays.append(int(ExternalData(outside, data).numpy()[0]))
    assert arrays == [index % 251 for index in range(300)]
    assert len(data._maps) <= 64
