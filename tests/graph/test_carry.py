"""What the IR cannot hold comes back from a round trip, or is gone because nothing used it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, SparseTensorProto, TensorProto, TypeProto, helper

from graphopt.errors import UnsupportedError
from graphopt.graph.carry import is_placeholder
from graphopt.graph.load import from_proto
from graphopt.graph.save import to_bytes
from tests.graph.protos import LINEAR, constant, differences, parse

BRANCH = """g (bool c, float[4] x) => (float[4] y) { y = If(c) <
then_branch = a () => (float[4] p) { p = Add(x, s) }, else_branch = b () => (float[4] q) { q = Neg(x) }> }"""


def trip(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(to_bytes(from_proto(proto)))


def sparse(name: str, values: tuple[float, ...] = (1.5, 2.5)) -> SparseTensorProto:
    held = SparseTensorProto(dims=[4])
    held.values.CopyFrom(constant(name, np.array(values, np.float32)))
    held.indices.CopyFrom(constant("", np.arange(len(values))))
    return held


def with_sparse() -> onnx.ModelProto:
    proto = parse("g (float[4] x) => (float[4] y) { a = Add(x, s) y = Add(a, t) }")
    proto.graph.sparse_initializer.extend([sparse("s"), sparse("t", (3.5,))])
    return proto


def maps() -> TypeProto:
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    return helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.STRING, value))


def zipmap() -> onnx.ModelProto:
    proto = parse(
        '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>\n'
        'g (float[n, 2] x) => (float[n, 2] y) { y = ai.onnx.ml.ZipMap<classlabels_strings = ["a", "b"]>(x) }'
    )
    proto.graph.output[0].type.CopyFrom(maps())
    return proto


def with_attribute(attribute: AttributeProto) -> onnx.ModelProto:
    proto = parse("g (float[4] x) => (float[4] y) { a = far.Magic(x) y = Neg(a) }")
    proto.opset_import.append(helper.make_opsetid("far", 1))
    proto.graph.node[0].attribute.append(attribute)
    return proto


def held_type(name: str, kind: TypeProto) -> onnx.ModelProto:
    attribute = AttributeProto(name=name, type=AttributeProto.TYPE_PROTO)
    attribute.tp.CopyFrom(kind)
    return with_attribute(attribute)


def opaque() -> TypeProto:
    kind = TypeProto()
    kind.opaque_type.domain, kind.opaque_type.name = "far", "Handle"
    return kind


def opaque_values() -> onnx.ModelProto:
    proto = parse("g (float[4] x) => (float[4] y) { a = far.Make(x) y = far.Use(a, h) }")
    proto.opset_import.append(helper.make_opsetid("far", 1))
    proto.graph.value_info.add(name="a").type.CopyFrom(opaque())
    proto.graph.input.add(name="h", doc_string="a handle").type.CopyFrom(opaque())
    return proto


def sparse_in_branch() -> onnx.ModelProto:
    proto = parse(BRANCH)
    proto.graph.node[0].attribute[0].g.sparse_initializer.append(sparse("s"))
    return proto


def sparse_attribute() -> onnx.ModelProto:
    proto = parse("g (float[4] x) => (float[4] y) { s = Constant() y = Add(x, s) }")
    attribute = AttributeProto(name="sparse_value", type=AttributeProto.SPARSE_TENSOR, doc_string="d")
    attribute.sparse_tensor.CopyFrom(sparse("s"))
    proto.graph.node[0].attribute.append(attribute)
    return proto


def metadata_everywhere() -> onnx.ModelProto:
    proto = parse(LINEAR)
    graph = proto.graph
    owners: tuple[Any, ...] = (proto, graph, graph.node[0], graph.input[0], graph.output[0], graph.initializer[0])
    for index, owner in enumerate(owners):
        owner.metadata_props.add(key="k", value=str(index))
        owner.doc_string = f"doc {index}"
    proto.domain, proto.model_version, proto.producer_name = "d", 7, "p"
    graph.input[0].type.denotation = "IMAGE"
    graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    note = graph.quantization_annotation.add(tensor_name="y")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    graph.quantization_annotation.add(tensor_name="w").quant_parameter_tensor_names.add(key="ZERO", value="w")
    return proto


def types_everywhere() -> onnx.ModelProto:
    proto = parse(
        "g (seq(float[n]) s, optional(float[2]) o, float[2] x) => (float[m] y, seq(float[n]) z, bool b) "
        "{ k = Constant<value_int = 0>() y = SequenceAt(s, k) z = SequenceInsert(s, x) b = OptionalHasElement(o) }"
    )
    proto.graph.initializer.append(
        TensorProto(name="names", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"\xff"])
    )
    proto.graph.initializer.append(helper.make_tensor("packed", TensorProto.INT4, [3], [1, -2, 3]))
    return proto


def functions() -> onnx.ModelProto:
    proto = parse("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    imports = [helper.make_opsetid("", 21)]
    for overload in ("", "other"):
        node = helper.make_node("LeakyRelu", ["a"], ["b"])
        node.attribute.add(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT)
        function = helper.make_function(
            "far",
            "F",
            ["a"],
            ["b"],
            [node],
            imports,
            ["plain"],
            [helper.make_attribute("slope", 0.5)],
            overload=overload,
        )
        function.doc_string = overload
        function.metadata_props.add(key="k", value="v")
        function.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [2]))
        proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("far", 1))
    call = proto.graph.node[0]
    call.op_type, call.domain, call.overload = "F", "far", "other"
    return proto


def shared_outputs() -> onnx.ModelProto:
    proto = parse("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    for name, dims in (("x", ["n"]), ("y", ["m"])):
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    return proto


def devices() -> onnx.ModelProto:
    proto = parse(LINEAR)
    proto.ir_version = 11
    proto.configuration.add(name="two", num_devices=2, device=["a", "b"])
    held = proto.graph.node[0].device_configurations.add(configuration_id="two", pipeline_stage=1)
    held.sharding_spec.add(tensor_name="w", device=[0, 1]).sharded_dim.add(axis=0)
    return proto


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "sparse initializers": with_sparse,
    "sparse initializer in a branch": sparse_in_branch,
    "sparse attribute": sparse_attribute,
    "map output": zipmap,
    "map in an attribute": lambda: held_type("kind", maps()),
    "opaque in an attribute": lambda: held_type("kind", opaque()),
    "opaque values": opaque_values,
    "text that is not UTF-8": lambda: with_attribute(helper.make_attribute("blob", b"\xff\x00\xfe")),
    "texts that are not UTF-8": lambda: with_attribute(helper.make_attribute("blobs", [b"\xff", b"a"])),
    "empty list": lambda: with_attribute(AttributeProto(name="none", type=AttributeProto.INTS)),
    "metadata": metadata_everywhere,
    "types": types_everywhere,
    "functions": functions,
    "outputs that share a value": shared_outputs,
    "devices": devices,
    "absent input": lambda: parse('g (float x) => (float y) { y = Clip(x, "", x) }'),
}


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_loses_nothing(name: str) -> None:
    proto = MODELS[name]()
    after = trip(proto)
    assert differences(proto, after) == []
    assert trip(after).SerializeToString() == after.SerializeToString()


def test_sparse_initializer_goes_with_its_last_user() -> None:
    model = from_proto(with_sparse())
    standing = [node for node in model.graph if is_placeholder(node)]
    assert [node.outputs[0].name for node in standing] == ["s", "t"]
    assert list(model.graph)[:2] == standing
    reader = standing[0].outputs[0].consumers()[0]
    reader.outputs[0].replace_all_uses_with(model.graph.inputs[0])
    model.graph.remove([reader, standing[0]], safe=True)
    after = onnx.ModelProto.FromString(to_bytes(model))
    assert [held.values.name for held in after.graph.sparse_initializer] == ["t"]
    assert [node.op_type for node in after.graph.node] == ["Add"]


def test_renamed_sparse_initializer_keeps_its_data() -> None:
    model = from_proto(with_sparse())
    model.graph[0].outputs[0].name = "renamed"
    after = onnx.ModelProto.FromString(to_bytes(model))
    assert after.graph.sparse_initializer[0].values.name == "renamed" == after.graph.node[0].input[1]
    assert after.graph.sparse_initializer[0].values.raw_data == sparse("s").values.raw_data


def test_a_name_like_a_key_is_left_alone() -> None:
    proto = parse("g (float[2] x) => (float[2] y) { y = graphopt.carried.SparseInitializer(x) }")
    proto.opset_import.append(helper.make_opsetid("graphopt.carried", 1))
    proto.graph.node[0].name = "graphopt.carried/0"
    proto.graph.node[0].metadata_props.add(key="graphopt.carried", value="graphopt.carried/0")
    assert differences(proto, trip(proto)) == []


def test_external_sparse_data_are_refused_by_name() -> None:
    proto = with_sparse()
    proto.graph.sparse_initializer[0].values.data_location = TensorProto.EXTERNAL
    with pytest.raises(UnsupportedError, match="sparse"):
        from_proto(proto)


def test_devices_of_an_old_version_are_refused_by_name() -> None:
    proto = devices()
    proto.ir_version = 10
    with pytest.raises(UnsupportedError, match="device"):
        from_proto(proto)


def test_backend_models_of_onnx_round_trip() -> None:
    found = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").glob("[ps]*/*/model.onnx"))
    assert len(found) > 100
    for path in found:
        proto = onnx.load(path)
        assert differences(proto, trip(proto)) == []
