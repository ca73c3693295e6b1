"""Ask Vulkan which devices it has, since WebGPU does not tell on which one it runs."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from graphopt.runtime.providers.interface import NotUsable

__all__ = ["Adapter", "adapters"]

_CREATE_INFO = 1
_NO_DRIVER = -9
_CPU = 4
_NAME_AT = 20
_NAME_BYTES = 256


@dataclass(frozen=True)
class Adapter:
    """A device that Vulkan can compute on; `software` if the processor stands for one."""

    name: str
    software: bool


class _CreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo, of which the first field alone is set."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def adapters() -> list[Adapter]:
    """Return all devices, in Vulkan's order.

    Raises `NotUsable` if there is no Vulkan.
    """
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError as error:
        raise NotUsable(f"there is no Vulkan ({error}); install libvulkan1") from error
    instance = ctypes.c_void_p()
    code = vulkan.vkCreateInstance(ctypes.byref(_CreateInfo(_CREATE_INFO)), None, ctypes.byref(instance))
    if code == _NO_DRIVER:
        return []
    if code:
        raise NotUsable(f"Vulkan does not start (vkCreateInstance: {code})")
    try:
        count = ctypes.c_uint32()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        devices = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
        return [_described(vulkan, device) for device in devices[: count.value]]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _described(vulkan: ctypes.CDLL, device: int | None) -> Adapter:
    # VkPhysicalDeviceProperties: four numbers, the kind of device, its name, and 800 bytes that nobody needs here.
    properties = ctypes.create_string_buffer(4096)
    vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
    kind = int.from_bytes(properties.raw[_NAME_AT - 4 : _NAME_AT], "little")
    name = properties.raw[_NAME_AT : _NAME_AT + _NAME_BYTES].split(b"\0")[0]
    return Adapter(name.decode("utf-8", "replace"), kind == _CPU)
