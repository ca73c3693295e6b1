"""WebGPU through onnxruntime's plug-in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.binding import bound
from graphopt.runtime.providers.interface import NotUsable, Opened, RunOptions
from graphopt.runtime.providers.ort import OrtOpened, provider_options, session_options, starts
from graphopt.runtime.providers.vulkan import Adapter, adapters

__all__ = ["SOFTWARE_DRIVERS", "WebGpu"]

_NAME = "WebGpuExecutionProvider"
_ALLOW = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
_DRIVERS = ("VK_ICD_FILENAMES", "VK_DRIVER_FILES")
SOFTWARE_DRIVERS = (
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
    "/snap/chromium/current/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
    "/opt/microsoft/msedge/vk_swiftshader_icd.json",
)
"""Where browsers of Debian, Fedora, Ubuntu, Google and Microsoft put the description of their software adapter."""


class WebGpu:
    """The plug-in on a GPU; on an adapter that imitates one only where that is admitted."""

    name = "webgpu"

    def why_not(self, options: RunOptions) -> str:
        """Say whether plug-in and device are there, and a session starts."""
        try:
            device, _ = _device(options)
        except NotUsable as error:
            return str(error)
        made = session_options(RunOptions())
        made.add_provider_for_devices([device], {})
        return starts(_NAME, made, None)

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model on exactly one device."""
        options = options.of(self.name)
        device, adapter = _device(options)
        made = session_options(options, strict=options.strict)
        made.add_provider_for_devices([device], provider_options(options))
        return _OnAdapter(path, options, made, adapter)


class _OnAdapter(OrtOpened):
    def __init__(self, path: str, options: RunOptions, made: ort.SessionOptions, adapter: Adapter) -> None:
        chosen = {"adapter": adapter.name, "io": "inputs on the device, outputs copied to the host"}
        super().__init__(path, options, made, None, chosen, _NAME)
        self.software = adapter.software
        self.parallel = False

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference; it reads the outputs, as nothing less waits for this device."""
        return bound(self.session, feed, read_back=True)


def _device(options: RunOptions) -> tuple[Any, Adapter]:
    """Choose the device and say what adapter it is.

    Raises `NotUsable` if there is none, or only one that imitates a GPU where that is not admitted.
    """
    try:
        import onnxruntime_ep_webgpu as plugin
    except ImportError as error:
        raise NotUsable(f"onnxruntime-ep-webgpu is not installed ({error}); pip install 'graphopt[webgpu]'") from error
    admitted = options.software or os.environ.get(_ALLOW) == "1"
    if options.software:
        _choose_software()
    adapter = _adapter(admitted=admitted)
    devices = _listed()
    if not devices:
        ort.register_execution_provider_library(_NAME, plugin.get_library_path())
        devices = _listed()
    if not devices:
        raise NotUsable(f"onnxruntime {ort.__version__} finds no device for WebGPU")
    device = min(devices, key=lambda each: each.device.metadata.get("Discrete") != "1")
    if device.device.type == ort.OrtHardwareDeviceType.CPU and adapter is None:
        adapter = Adapter("software", software=True)
    return device, adapter or Adapter(_told(device), software=False)


def _listed() -> list[Any]:
    return [each for each in ort.get_ep_devices() if each.ep_name == _NAME]


def _told(device: Any) -> str:
    known = device.device
    return str(
        known.metadata.get("Description") or f"{known.vendor or 'vendor'} {known.vendor_id:#x}:{known.device_id:#x}"
    )


def _choose_software() -> None:
    """Set what lets the runtime take a software adapter; this process runs nothing else."""
    os.environ[_ALLOW] = "1"
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _DRIVERS):
        return
    found = _software_driver()
    if not found:
        raise NotUsable(
            "no software adapter is found: install Debian's chromium, or let VK_ICD_FILENAMES name a Vulkan driver"
        )
    os.environ["VK_ICD_FILENAMES"] = found


def _software_driver() -> str:
    return next((path for path in SOFTWARE_DRIVERS if Path(path).is_file()), "")


def _adapter(*, admitted: bool) -> Adapter | None:
    """Return the adapter that will be taken: a GPU before a software one; None where Vulkan is not what runs.

    Raises `NotUsable` if there is none, or only software where that is not `admitted`.
    """
    if not sys.platform.startswith("linux"):
        return None
    found = adapters()
    if hardware := [each for each in found if not each.software]:
        return hardware[0]
    if not admitted:
        raise NotUsable(_without_gpu(found))
    if not found:
        raise NotUsable("Vulkan finds no device; is the driver that VK_ICD_FILENAMES names there?")
    shown = found[0].name.removesuffix(" Device (Subzero)")
    return Adapter(f"{shown} (software)", software=True)


def _without_gpu(found: Sequence[Adapter]) -> str:
    known = f"only {found[0].name}, which imitates one" if found else "no device at all"
    if found or _software_driver():
        return f"Vulkan knows no GPU here, {known}; --software-adapter runs it on one that is imitated, and not timed"
    return f"Vulkan knows no GPU here, {known}; install the GPU's driver, or chromium for one that is imitated"
