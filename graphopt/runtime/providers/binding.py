"""Bind inputs and outputs where a device has them, so that no copy is timed that its user would not make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from graphopt.runtime.frames import NATIVE, Array
from graphopt.runtime.session import ort_value, runner

__all__ = ["bound"]

_DEVICES = {"Cuda": "cuda", "WebGPU_Buf": "webgpu"}
"""Devices by the name that the runtime gives their memory; all other memory is the host's."""
_PLAIN = frozenset(f"tensor({name})" for name in ("float", "double", *NATIVE))


def bound(session: ort.InferenceSession, feed: Mapping[str, Array], *, read_back: bool) -> Callable[[], object]:
    """Return what runs one inference on inputs that lie where the runtime reads them.

    Outputs stay where the runtime makes them, in memory that the first inference allocates. With `read_back` they are
    copied to the host. Models with inputs or outputs other than plain tensors are run with copies.
    """
    plain_feed = all(array.dtype.name in NATIVE for array in feed.values())
    if not plain_feed or any(output.type not in _PLAIN for output in session.get_outputs()):
        return runner(session, feed)
    return _Bound(session, feed, read_back=read_back)


class _Bound:
    def __init__(self, session: ort.InferenceSession, feed: Mapping[str, Array], *, read_back: bool) -> None:
        self.session, self.read_back = session, read_back
        self.binding = session.io_binding()
        self.kept: list[Any] = []
        for value, memory in zip(session.get_inputs(), session.get_input_memory_infos(), strict=True):
            if value.name in feed:
                self.binding.bind_ortvalue_input(value.name, _placed(session, feed[value.name], memory))
        self.names = [output.name for output in session.get_outputs()]
        for name, memory in zip(self.names, session.get_output_memory_infos(), strict=True):
            self.binding.bind_output(name, _DEVICES.get(memory.name, "cpu"), memory.device_id)
        self.binding.synchronize_inputs()

    def __call__(self) -> None:
        """Run one inference; its work is finished at the return."""
        self.session.run_with_iobinding(self.binding)
        if self.read_back:
            self.binding.copy_outputs_to_cpu()
        else:
            self.binding.synchronize_outputs()
        if not self.kept:
            self._keep()

    def _keep(self) -> None:
        """Let the next inferences write to the memory that the first one allocated."""
        self.kept = self.binding.get_outputs()
        for name, value in zip(self.names, self.kept, strict=True):
            if value.device_name() != "cpu":
                self.binding.bind_ortvalue_output(name, value)


def _placed(session: ort.InferenceSession, array: Array, memory: Any) -> ort.OrtValue:
    device = _DEVICES.get(memory.name)
    if device is None:
        return ort_value(array)
    if device == "cuda":
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), device, memory.device_id)
    # Only the session's own allocator makes buffers of this device.
    value = session.create_ortvalue_from_shape_and_type(list(array.shape), array.dtype.type, device, memory.device_id)
    value.update_inplace(np.ascontiguousarray(array))
    return value
