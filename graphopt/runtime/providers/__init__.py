"""Find execution providers by name; what they import is loaded on first use, in the child that runs models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from graphopt.errors import UsageError, nearest

if TYPE_CHECKING:
    from graphopt.runtime.providers.interface import Provider

__all__ = ["NAMES", "checked_config", "known_name", "provider"]

_WHERE = {
    "cpu": "graphopt.runtime.providers.ort_cpu:Cpu",
    "cuda": "graphopt.runtime.providers.nvidia:Cuda",
    "tensorrt": "graphopt.runtime.providers.nvidia:TensorRt",
    "openvino": "graphopt.runtime.providers.openvino:OpenVino",
    "ort-openvino": "graphopt.runtime.providers.ort_openvino:OrtOpenVino",
    "webgpu": "graphopt.runtime.providers.webgpu:WebGpu",
}

NAMES = tuple(_WHERE)
"""The names that `--ep` takes, in the order in which they are listed."""


def known_name(name: str) -> str:
    """Return `name` if it is a provider's.

    Raises `UsageError` with the nearest known name if it is not.
    """
    if name not in _WHERE:
        raise UsageError(
            f"unknown execution provider {name!r}", advice=nearest(name, NAMES) or f"known: {', '.join(NAMES)}"
        )
    return name


def checked_config(ep: str, config: Mapping[str, str]) -> dict[str, str]:
    """Return the options that `config` holds for the provider `ep`: those after `EP:`, and those for all.

    Session entries of onnxruntime have a dot in their names, options of providers have none.

    Raises `UsageError` for one that the provider does not take, and for one of an unknown provider.
    """
    found = {}
    for given, value in config.items():
        name, _, key = given.rpartition(":")
        if known_name(name or ep) != ep:
            continue
        if "." in key and ep == "openvino":
            raise UsageError(
                f"{ep} takes no session entries such as {key!r}", advice=f"give it to one that does: cpu:{key}=VALUE"
            )
        if "." not in key and ep == "cpu":
            raise UsageError(
                f"{ep} takes no options of its own such as {key!r}",
                advice="session entries have a dot in their names; EP:KEY=VALUE is for the provider EP alone",
            )
        found[key] = value
    return found


def provider(name: str) -> Provider:
    """Make the provider of that name; its runtime is not imported yet."""
    module, _, kind = _WHERE[known_name(name)].partition(":")
    made: Provider = getattr(import_module(module), kind)()
    return made
