"""OpenVINO itself, not through onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.interface import Kernel, NotUsable, Opened, Refused, RunOptions
from graphopt.runtime.providers.reasons import reason

__all__ = ["OpenVino"]


class OpenVino:
    """OpenVINO's own runtime, on its CPU unless `config` names another `device`."""

    name = "openvino"

    def why_not(self, _: RunOptions) -> str:
        """Say whether it is installed."""
        try:
            import openvino
        except ImportError as error:
            return f"openvino is not installed ({error}); pip install 'graphopt[openvino]'"
        return "" if openvino.Core().available_devices else f"openvino {openvino.__version__} finds no device"

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; unless `precision` is `auto`, the device must not compute in bf16, nor quantize."""
        options = options.of(self.name)
        return _Compiled(path, options)


class _Compiled:
    def __init__(self, path: str, options: RunOptions) -> None:
        import openvino

        self._source = path, options
        given = dict(options.config)
        device = given.pop("device", "CPU")
        settings = _settings(options, device)
        core = openvino.Core()
        try:
            for library in options.custom_ops:
                core.add_extension(library)
            self._model = core.compile_model(path, device, {**settings, **given})
        except RuntimeError as error:
            # A device that is not there is nothing that another model would mend.
            known = device.partition(".")[0] in {name.partition(".")[0] for name in core.available_devices}
            kind = Refused if known or device == "AUTO" else NotUsable
            raise kind(f"OpenVINO does not compile it: {reason(str(error))}") from error
        devices = [name.partition(".")[0] for name in self._model.get_property("EXECUTION_DEVICES")]
        if devices != [device.partition(".")[0]]:
            raise NotUsable(f"OpenVINO would run it on {', '.join(devices)}, not on {device}; name that as the device")
        self._request = self._model.create_infer_request()
        self._names = [_name(port) for port in self._model.inputs]
        self.inputs = [(_name(port), port.element_type.get_type_name()) for port in self._model.inputs]
        self.outputs = [(_name(port), port.element_type.get_type_name()) for port in self._model.outputs]
        precision = str(self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        threads = {"threads": str(self._model.get_property("INFERENCE_NUM_THREADS"))} if device == "CPU" else {}
        self.chosen = {
            "runtime": f"openvino {openvino.__version__}",
            "device": ", ".join(devices),
            "precision": precision,
            **threads,
            **given,
        }
        self.software = False
        # For the least latency there is one stream, and the requests of several threads wait for it.
        self.parallel = False

    def run(self, feed: Mapping[str, Array]) -> list[Any]:
        """Return the outputs of one inference."""
        self._fill(self._request, feed)
        self._request.infer()
        return [_array(self._request.get_output_tensor(at)) for at in range(len(self.outputs))]

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference; inputs are bound once and outputs stay where they are."""
        request = self._model.create_infer_request()
        self._fill(request, feed)
        infer: Callable[[], object] = request.infer
        return infer

    def _fill(self, request: Any, feed: Mapping[str, Array]) -> None:
        """Set the inputs by position: names of ports are sets, and may be empty."""
        if missing := [name for name in self._names if name not in feed]:
            raise ValueError(f"input {missing[0]!r} is not given")
        for at, (name, port) in enumerate(zip(self._names, self._model.inputs, strict=True)):
            request.set_input_tensor(at, _tensor(feed[name], port.element_type))

    def placement(self) -> dict[str, list[str]] | None:
        """Return None: it runs the whole model or refuses it, and does not tell nodes."""
        return None

    def profile(self, feed: Mapping[str, Array], runs: int) -> list[Kernel]:
        """Return the time of every executed node, of the model compiled once more with counters."""
        from graphopt.runtime.providers.openvino_profile import kernels_of

        path, options = self._source
        counted = _Compiled(path, replace(options, config={**options.config, "PERF_COUNT": "YES"}))
        counted._fill(counted._request, feed)
        return kernels_of(counted._model, counted._request, runs)


def _settings(options: RunOptions, device: str) -> dict[str, str]:
    settings = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(options.threads)
        # The process has its cores already; pinned by OpenVINO, several models would share one.
        settings["ENABLE_CPU_PINNING"] = "NO"
    if options.precision != "auto":
        # Without the second, activations in front of int8 weights are quantized anew, to other numbers.
        settings |= {"INFERENCE_PRECISION_HINT": options.precision, "EXECUTION_MODE_HINT": "ACCURACY"}
    if options.cache:
        settings["CACHE_DIR"] = options.cache
    return settings


def _name(port: Any) -> str:
    """Return the name of an input or output in the ONNX model; a port has several where values were merged, or none."""
    node = port.get_node()
    name = str(node.get_friendly_name())
    return name.removesuffix("/sink_port_0") if node.get_type_name() == "Result" else name


def _tensor(array: Array, kind: Any) -> Any:
    import openvino

    if array.dtype.kind in "OUT":
        return openvino.Tensor(array.astype(np.str_))
    if array.dtype.name == "bfloat16":
        made = openvino.Tensor(kind, openvino.Shape(array.shape))
        made.data.view(np.uint16)[...] = np.ascontiguousarray(array).view(np.uint16)
        return made
    # Not ascontiguousarray, which makes a vector of one element of a scalar.
    return openvino.Tensor(np.asarray(array, order="C"))


def _array(tensor: Any) -> Array:
    """Copy a tensor out; the runtime shows bfloat16 as float16 of the same bits."""
    if tensor.element_type.get_type_name() == "string":
        return np.array(tensor.str_data, dtype=object)
    found = np.array(tensor.data)
    if tensor.element_type.get_type_name() == "bf16":
        import ml_dtypes

        return found.view(ml_dtypes.bfloat16)
    return found
