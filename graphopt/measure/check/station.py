"""Ask compilers about models, in a child process: OpenVINO, and TensorRT's parser and builder."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from graphopt.runtime.frames import Array

__all__ = ["Compilers"]

Reply = tuple[dict[str, Any], list[Array]]
_MOST_MESSAGES = 20
_COPIES = (b"MemcpyFromHost", b"MemcpyToHost")


class Compilers:
    """What cannot be imported comes back as `missing`, what a compiler raises as `refused`."""

    def ping(self, _: dict[str, Any], arrays: list[Array]) -> Reply:
        """Answer with the process id and what was sent."""
        return {"pid": os.getpid()}, arrays

    def load(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Import a package."""
        importlib.import_module(request["package"])
        return {}, []

    def openvino(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Compile a model for OpenVINO's CPU device."""
        try:
            import openvino
        except ImportError as error:
            return {"missing": str(error)}, []
        versions = {"runtime": f"openvino {openvino.__version__}"}
        try:
            openvino.Core().compile_model(request["path"], "CPU")
        except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
            return {"refused": str(error) or type(error).__name__, "versions": versions}, []
        return {"refused": "", "versions": versions}, []

    def copies(self, request: dict[str, Any], _: list[Array]) -> Reply:
        """Count the copies between device and host that onnxruntime puts into a model for a provider.

        They stand in the graph that it saves, in `folder`; in protobuf an operator's type is field 4 of its node.
        """
        import onnxruntime

        from graphopt.runtime.providers import provider
        from graphopt.runtime.providers.interface import RunOptions

        opened: Any = provider(request["ep"]).open(request["path"], RunOptions(**request["options"]))
        saved = Path(request["folder"]) / "placed.onnx"
        opened.made.optimized_model_filepath = str(saved)
        onnxruntime.InferenceSession(request["path"], opened.made, providers=opened.providers, enable_fallback=0)
        data = saved.read_bytes()
        return {"copies": sum(data.count(b"\x22" + bytes([len(name)]) + name) for name in _COPIES)}, []

    def tensorrt(self, request: dict[str, Any], arrays: list[Array]) -> Reply:
        """Parse a model and build an engine for one architecture; no GPU is needed.

        `arrays` are inputs by the names in `inputs`: they size the profile of what is dynamic.
        """
        try:
            import tensorrt_rtx as trt
        except (ImportError, OSError) as error:
            return {"missing": str(error)}, []
        said: list[str] = []
        logger = _logger(trt, said)
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        parsed = parser.parse_from_file(request["path"])
        errors = [_error(parser.get_error(at)) for at in range(parser.num_errors)]
        reply = {"parsed": parsed, "errors": errors, "versions": {"parser": _version(trt), "for": request["sm"]}}
        if not parsed:
            return {**reply, "built": False, "messages": said[:_MOST_MESSAGES]}, []
        said.clear()
        feed = dict(zip(request["inputs"], arrays, strict=True))
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, request["sm"]), 0)
        if lacking := _profile(builder, config, network, feed):
            return {**reply, "built": None, "messages": [f"no size is known of input {lacking!r}"]}, []
        engine = builder.build_serialized_network(network, config)
        return {**reply, "built": engine is not None, "messages": said[:_MOST_MESSAGES]}, []


def _version(trt: Any) -> str:
    return f"TensorRT-RTX {trt.__version__}"


def _logger(trt: Any, said: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                said.append(message)

    return Logger()


def _error(error: Any) -> dict[str, str]:
    return {
        "node": error.node_name(),
        "operator": error.node_operator(),
        "code": str(error.code()).rpartition(".")[2],
        "text": error.desc(),
    }


def _profile(builder: Any, config: Any, network: Any, feed: dict[str, Array]) -> str:
    """Fix the sizes of dynamic inputs to those of `feed`; name the first input that has none, empty if all have."""
    profile = builder.create_optimization_profile()
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    for each in inputs:
        if not each.is_shape_tensor and min(each.shape, default=0) >= 0:
            continue
        if each.name not in feed:
            return str(each.name)
        array = feed[each.name]
        if each.is_shape_tensor:
            values = [int(value) for value in array.reshape(-1)]
            profile.set_shape_input(each.name, values, values, values)
        else:
            profile.set_shape(each.name, array.shape, array.shape, array.shape)
    config.add_optimization_profile(profile)
    return ""
