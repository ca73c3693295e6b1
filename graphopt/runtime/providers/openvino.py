"""OpenVINO itself, not through onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.interface import Kernel, NotUsable, Opened, RunOptions

__all__ = ["OpenVino"]


class OpenVino:
    """OpenVINO's own runtime, on its CPU device."""

    name = "openvino"

    def why_not(self) -> str:
        """Say whether it is installed."""
        try:
            import openvino  # noqa: F401
        except ImportError as error:
            return f"openvino is not installed ({error}); pip install 'graphopt[openvino]'"
        return ""

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; unless `precision` is `auto`, the device must not compute in bf16."""
        if reason := self.why_not():
            raise NotUsable(reason)
        return _Compiled(path, options)


class _Compiled:
    def __init__(self, path: str, options: RunOptions) -> None:
        import openvino

        given = {"INFERENCE_NUM_THREADS": str(options.threads), "PERFORMANCE_HINT": "LATENCY"}
        if options.precision != "auto":
            given["INFERENCE_PRECISION_HINT"] = options.precision
        self._model = openvino.Core().compile_model(path, "CPU", {**given, **options.config})
        self._request = self._model.create_infer_request()
        self.inputs = [(port.any_name, port.element_type.get_type_name()) for port in self._model.inputs]
        self.outputs = [(port.any_name, port.element_type.get_type_name()) for port in self._model.outputs]
        devices = ", ".join(self._model.get_property("EXECUTION_DEVICES"))
        precision = str(self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self.chosen = {"runtime": f"openvino {openvino.__version__}", "device": devices, "precision": precision}
        self.software = False

    def run(self, feed: Mapping[str, Array]) -> list[Any]:
        """Return the outputs of one inference."""
        found = self._request.infer(dict(feed), share_inputs=False)
        return [np.array(found[port]) for port in self._model.outputs]

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference; inputs are bound once and outputs stay where they are."""
        import openvino

        for name, array in feed.items():
            self._request.set_tensor(name, openvino.Tensor(np.ascontiguousarray(array)))
        infer: Callable[[], object] = self._request.infer
        return infer

    def placement(self) -> dict[str, list[str]] | None:
        """Return None: it runs the whole model or refuses it, and does not tell nodes."""
        return None

    def profile(self, feed: Mapping[str, Array], runs: int) -> list[Kernel]:
        """Return the time of every executed node."""
        raise NotImplementedError
