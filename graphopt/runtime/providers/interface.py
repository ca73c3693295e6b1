"""Say what a provider is: something that opens a model, runs it, and tells what really ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from graphopt.runtime.frames import Array

__all__ = ["Kernel", "NotUsable", "Opened", "Provider", "Refused", "RunOptions", "Tensor"]

Tensor = tuple[str, tuple[int, ...]]
"""Element type, by numpy's name or as onnx calls it, and shape."""


class NotUsable(Exception):  # noqa: N818 - it names a state
    """Say in one line why a provider cannot run here, or why another one would run instead."""


class Refused(NotUsable):
    """Say in one line why a provider that is usable here does not take this model."""


@dataclass(frozen=True)
class RunOptions:
    """How to open a model.

    `threads` is for operators inside one inference. `precision` is `f32` (compute as the model says) or `auto` (as the
    runtime likes). `config` is passed on verbatim: properties of OpenVINO, of which `device` names the device; session
    entries of onnxruntime, whose names have a dot, and options of its provider, whose names have none. After `EP:`
    stands what is for that provider alone. `software` admits an adapter that only imitates a GPU. `strict` makes a node
    that the provider would leave to the CPU an error. `cache` is a folder for what a provider compiles, or empty.
    """

    threads: int = 1
    precision: str = "f32"
    config: Mapping[str, str] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()
    software: bool = False
    strict: bool = False
    cache: str = ""

    def of(self, ep: str) -> RunOptions:
        """Return what is meant for the provider `ep`, without what is for others alone.

        Raises `UsageError` for one that it does not take, and for an option of an unknown provider.
        """
        from graphopt.runtime.providers import checked_config

        return replace(self, config=checked_config(ep, self.config))


@dataclass(frozen=True)
class Kernel:
    """Time of one executed node: `seconds` of one inference, median over the runs; `nodes` are names in the model.

    `name` is the runtime's own name, `operator` its type there (fused ones are the runtime's), `provider` who ran it.
    `calls` is how often it runs in one inference. `inputs` and `outputs` are of one call, None where one is left out;
    both are empty where the runtime does not tell. `values` are the names of its results in the runtime's graph.
    """

    name: str
    operator: str
    provider: str
    seconds: float
    nodes: tuple[str, ...] = ()
    calls: float = 1.0
    inputs: tuple[Tensor | None, ...] = ()
    outputs: tuple[Tensor | None, ...] = ()
    domain: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[str, ...] = ()


class Opened(Protocol):
    """One model, opened by one provider, in this process."""

    inputs: list[tuple[str, str]]
    """Names and element types, as the runtime tells them."""
    outputs: list[tuple[str, str]]
    chosen: dict[str, str]
    """What the runtime chose or was told: precision, adapter, version, options verbatim."""
    software: bool
    """Whether a software adapter stands for the device."""
    parallel: bool
    """Whether inferences from several threads run at once; if not, each caller is given a model of its own."""

    def run(self, feed: Mapping[str, Array]) -> list[Any]:
        """Return the outputs of one inference, copied to the host."""
        ...

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference on `feed`, device work finished at its return, with the least around it.

        What two calls return may run at the same time in two threads.
        """
        ...

    def placement(self) -> dict[str, list[str]] | None:
        """Return for each provider the names of the nodes that it runs; None where the runtime does not tell."""
        ...

    def profile(self, feed: Mapping[str, Array], runs: int) -> list[Kernel]:
        """Return the time of every executed node, from the runtime's own profiler.

        Raises `NotUsable` if the runtime has none.
        """
        ...


class Provider(Protocol):
    """An execution provider, by the name that `--ep` takes."""

    name: str

    def why_not(self, options: RunOptions) -> str:
        """Say in one line why it is not usable here, empty if it is; its runtime is loaded and ready afterwards."""
        ...

    def open(self, path: str, options: RunOptions) -> Opened:
        """Open a model.

        Raises `NotUsable` if it cannot be this provider that runs, `Refused` if that is for the model's sake; what
        else the runtime raises is passed on.
        """
        ...
