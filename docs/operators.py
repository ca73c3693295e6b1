"""Write the lists of operators that `graphopt check` reads, each asked from what implements them.

    python docs/operators.py tensorrt                 with tensorrt-rtx-cu12 installed
    python docs/operators.py webgpu                   with onnxruntime and onnxruntime-ep-webgpu; needs a device
    python docs/operators.py wasm                     with the onnxruntime of the version of onnxruntime-web
    python docs/operators.py jsep webgpu-operators.md version
                                                      from the table in onnxruntime-web's npm package

onnxruntime-web's WebAssembly is built from the same kernels as onnxruntime's CPU provider, and its `/webgpu` entry from
those of the plug-in; the table in its package is of the older kernels behind its `/all` entry.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "graphopt" / "measure" / "check" / "lists"
OPEN_END = 2147483647


def tensorrt() -> dict[str, Any]:
    """Ask the parser for each operator that a standard or onnxruntime knows."""
    import tensorrt_rtx as trt
    from onnx import defs

    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    parser = trt.OnnxParser(trt.Builder(logger).create_network(0), logger)
    names = {schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain}
    names |= {schema.name for schema in _ort().get_all_operator_schema() if schema.domain == "com.microsoft"}
    ways = ("QuantizeLinear", "DequantizeLinear")
    names |= {f"TRT_{kind}{way}" for kind in ("FP8", "INT4", "MXFP8", "FP4") for way in ways}
    names |= {"TRT_FP4DynamicQuantize", "TRT_MXFP8DynamicQuantize"}
    taken = sorted(name for name in names if parser.supports_operator(name))
    return {"versions": {"tensorrt-rtx-cu12": trt.__version__}, "operators": taken}


def webgpu() -> dict[str, Any]:
    """Ask the plug-in for its kernels."""
    import importlib.metadata

    import onnxruntime as ort
    import onnxruntime_ep_webgpu as plugin

    ort.register_execution_provider_library("webgpu", plugin.get_library_path())
    kernels = _ort().get_registered_ep_kernel_defs("WebGpuExecutionProvider")
    version = importlib.metadata.version("onnxruntime-ep-webgpu")
    return {"versions": {"onnxruntime-ep-webgpu": version, "onnxruntime": ort.__version__}, **_packed(kernels)}


def wasm() -> dict[str, Any]:
    """Ask the CPU provider for its kernels."""
    import onnxruntime as ort

    newest = {"ir_version": _newest(lambda at: (at, 13)), "opset": _newest(lambda at: (8, at))}
    return {"versions": {"onnxruntime": ort.__version__}, **newest, **_packed(_ort().get_all_opkernel_def())}


def _newest(versions: Callable[[int], tuple[int, int]]) -> int:
    """Find the largest number from 8 on for which onnxruntime opens a model of the IR version and opset given by it."""
    import onnxruntime as ort
    from onnx import helper

    values = [helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", values[:1], values[1:])
    for at in range(8, 100):
        model, (ir_version, opset) = helper.make_model(graph), versions(at)
        model.ir_version, model.opset_import[0].version = ir_version, opset
        try:
            ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001 - whatever it raises, the one before was the last
            return at - 1
    raise AssertionError


def jsep(table: str, version: str) -> dict[str, Any]:
    """Read the table of operators: `| Name | domain(1-10,11+); other(1+) | comment |`."""
    found: dict[str, Any] = {}
    for name, versions, comment in re.findall(r"^\| (\w+) \| (.*?) \|(.*?)\|$", Path(table).read_text(), re.MULTILINE):
        for domain, ranges in re.findall(r"([\w.]+)\(([^)]*)\)", versions):
            key = f"{'' if domain == 'ai.onnx' else domain}:{name}"
            found[key] = [[*map(_bound, _ends(each)), {}] for each in ranges.split(",")]
        found.setdefault("", {})[name] = comment.strip()
    comments = {name: text for name, text in found.pop("").items() if text and name != "Operator"}
    return {"versions": {"onnxruntime-web": version}, "kernels": found, "comments": comments}


def _ends(text: str) -> tuple[str, str]:
    text = text.strip()
    if text.endswith("+"):
        return text[:-1], ""
    first, _, last = text.partition("-")
    return first, last or first


def _bound(text: str) -> int:
    return int(text) if text else OPEN_END


def _ort() -> Any:
    from onnxruntime.capi import onnxruntime_pybind11_state

    return onnxruntime_pybind11_state


def _packed(kernels: Iterable[Any]) -> dict[str, Any]:
    """Pack kernels with the names and types of their operators' parameters; equal lists of types are kept once."""
    from onnx import defs

    types: dict[tuple[str, ...], int] = {}
    packed: dict[str, list[Any]] = {}
    for kernel in kernels:
        constraints = {
            name: types.setdefault(tuple(sorted(_plain(each) for each in allowed)), len(types))
            for name, allowed in sorted(kernel.type_constraints.items())
        }
        packed.setdefault(f"{kernel.domain}:{kernel.op_name}", []).append([*kernel.version_range, constraints])
    parameters: dict[str, Any] = {}
    for schema in _ort().get_all_operator_schema():
        key = f"{schema.domain}:{schema.name}"
        if key in packed:
            sides = [[[each.name, _plain(each.typeStr)] for each in side] for side in (schema.inputs, schema.outputs)]
            parameters.setdefault(key, {})[str(schema.since_version)] = sides
    standard: list[Any] = [schema for schema in defs.get_all_schemas_with_history() if not schema.domain]
    functions: dict[str, list[int]] = {}
    for one in standard:
        if one.has_function or one.has_context_dependent_function:
            functions.setdefault(f":{one.name}", []).append(one.since_version)
    ordered = dict(sorted((key, sorted(each, key=str)) for key, each in packed.items()))
    return {
        "types": [list(each) for each in types],
        "kernels": ordered,
        "parameters": dict(sorted(parameters.items())),
        "functions": dict(sorted(functions.items())),
    }


def _plain(kind: str) -> str:
    match = re.fullmatch(r"tensor\((\w+)\)", kind)
    return match.group(1) if match else kind


def main(name: str, *arguments: str) -> None:
    """Write one list."""
    makers: dict[str, Callable[..., dict[str, Any]]] = {
        "tensorrt": tensorrt,
        "webgpu": webgpu,
        "wasm": wasm,
        "jsep": jsep,
    }
    found = makers[name](*arguments)
    path = FOLDER / f"{name}.json"
    lines = [f'"{key}": {json.dumps(value, separators=(",", ":"))}' for key, value in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main(*sys.argv[1:])
