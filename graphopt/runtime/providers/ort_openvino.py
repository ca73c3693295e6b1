"""OpenVINO through onnxruntime's own provider."""

from __future__ import annotations

import onnxruntime as ort

from graphopt.runtime.providers.interface import Opened, RunOptions
from graphopt.runtime.providers.ort import OrtOpened, provider_options, session_options, starts

__all__ = ["OrtOpenVino"]

_NAME = "OpenVINOExecutionProvider"


class OrtOpenVino:
    """The provider that builds of onnxruntime for OpenVINO have, on OpenVINO's CPU device unless told otherwise."""

    name = "ort-openvino"

    def why_not(self, _: RunOptions) -> str:
        """Say whether this build of onnxruntime has it, and a session starts."""
        if _NAME not in ort.get_available_providers():
            return (
                f"onnxruntime {ort.__version__} is built without {_NAME}; "
                "use an environment with onnxruntime-openvino in its place, or --ep openvino"
            )
        return starts(_NAME, session_options(RunOptions()), [_NAME])

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; unless `precision` is `auto`, the device must not compute in fewer bits."""
        options = options.of(self.name)
        given = {"device_type": "CPU", "num_of_threads": str(options.threads)}
        if options.precision != "auto":
            given["precision"] = "FP32"
        given |= provider_options(options)
        chosen = {"device": given["device_type"], "precision": given.get("precision", "auto")}
        made = session_options(options, strict=options.strict)
        return OrtOpened(path, options, made, [(_NAME, given)], chosen, _NAME)
