"""onnxruntime on NVIDIA's GPUs: its CUDA and its TensorRT provider."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import onnxruntime as ort

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.binding import bound
from graphopt.runtime.providers.interface import NotUsable, Opened, RunOptions
from graphopt.runtime.providers.ort import OrtOpened, provider_options, session_options, starts

__all__ = ["Cuda", "TensorRt"]

_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


class _Nvidia:
    """What the two providers share: they need a build of onnxruntime, a driver with a GPU, and libraries."""

    name: str
    full_name: str
    library: str

    def why_not(self, _: RunOptions) -> str:
        """Say whether build, driver, GPU and libraries are there, and a session starts."""
        # That the build lists the provider says only that it was compiled in.
        if self.full_name not in ort.get_available_providers():
            return (
                f"onnxruntime {ort.__version__} is built without {self.full_name}; "
                "use an environment with onnxruntime-gpu in its place"
            )
        if reason := _without_gpu():
            return reason
        _preload()
        reason = starts(self.full_name, session_options(RunOptions()), [self.full_name])
        return reason and f"{reason} {self._missing()}".rstrip()

    def _missing(self) -> str:
        """Name the library that is missing, which the runtime only logs."""
        folder = Path(ort.__file__).parent / "capi"
        try:
            ctypes.CDLL(str(folder / self.library))
        except OSError as error:
            return f"({error})"
        return ""


class Cuda(_Nvidia):
    """The CUDA provider."""

    name = "cuda"
    full_name = _CUDA
    library = "libonnxruntime_providers_cuda.so"

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; unless `precision` is `auto`, float32 is not rounded to TF32."""
        options = options.of(self.name)
        chosen = _precise(options)
        given = {**({} if options.precision == "auto" else {"use_tf32": "0"}), **provider_options(options)}
        return _OnGpu(path, options, [(self.full_name, given)], chosen, self.full_name, given)


class TensorRt(_Nvidia):
    """The TensorRT provider; what it does not take is left to CUDA."""

    name = "tensorrt"
    full_name = _TENSORRT
    library = "libonnxruntime_providers_tensorrt.so"

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model; engines are kept in `cache`, apart by precision, as a cached one does not tell its own."""
        options = options.of(self.name)
        chosen = _precise(options)
        given: dict[str, str] = {}
        if options.cache:
            folder = Path(options.cache) / options.precision
            folder.mkdir(parents=True, exist_ok=True)
            for kind in ("engine", "timing"):
                given |= {f"trt_{kind}_cache_enable": "True", f"trt_{kind}_cache_path": str(folder)}
        given |= provider_options(options)
        device = {key: value for key, value in given.items() if key == "device_id"}
        return _OnGpu(path, options, [(self.full_name, given), (_CUDA, device)], chosen, self.full_name, device)


class _OnGpu(OrtOpened):
    def __init__(
        self,
        path: str,
        options: RunOptions,
        providers: list[tuple[str, dict[str, str]]],
        chosen: Mapping[str, str],
        wanted: str,
        given: Mapping[str, str],
    ) -> None:
        told = {
            "device": _gpu_name(int(given.get("device_id", "0"))),
            "io": "inputs and outputs on the device",
            **chosen,
        }
        super().__init__(path, options, session_options(options, strict=options.strict), providers, told, wanted)
        # TensorRT's context is for one thread at a time.
        self.parallel = wanted == _CUDA

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference on the device; its stream is waited for."""
        return bound(self.session, feed, read_back=False)


def _precise(options: RunOptions) -> dict[str, str]:
    """Keep the libraries from rounding float32 to TF32; TensorRT has no other switch for it."""
    if options.precision == "auto":
        return {"precision": "auto"}
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    return {"precision": "f32, without TF32"}


def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise NotUsable(f"there is no NVIDIA driver ({error})") from error


def _without_gpu() -> str:
    """Ask the driver for GPUs; empty if there is one."""
    try:
        driver = _driver()
    except NotUsable as error:
        return str(error)
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code:
        return f"the NVIDIA driver does not start (CUDA error {code})"
    return "" if count.value else "the NVIDIA driver finds no GPU"


def _gpu_name(index: int) -> str:
    driver, device, name = _driver(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index) or driver.cuDeviceGetName(name, 256, device):
        raise NotUsable(f"the NVIDIA driver has no GPU {index}")
    return name.value.decode("utf-8", "replace")


def _preload() -> None:
    """Load the CUDA, cuDNN and TensorRT libraries that were installed as Python packages."""
    preload: Any = getattr(ort, "preload_dlls", None)
    if preload is not None:
        preload()
    if importlib.util.find_spec("tensorrt_libs"):
        import_module("tensorrt_libs")
