"""onnxruntime on the CPU."""

from __future__ import annotations

from graphopt.runtime.providers.interface import Opened, RunOptions
from graphopt.runtime.providers.ort import OrtOpened, session_options

__all__ = ["Cpu"]


class Cpu:
    """The provider that every onnxruntime has."""

    name = "cpu"

    def why_not(self, _: RunOptions) -> str:
        """Return the empty string: it always is."""
        return ""

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; it computes in the types that the model says."""
        options = options.of(self.name)
        return OrtOpened(path, options, session_options(options), ["CPUExecutionProvider"], {})
