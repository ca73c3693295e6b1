"""Open models with onnxruntime, whatever its provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.interface import Kernel, NotUsable, Refused, RunOptions
from graphopt.runtime.providers.reasons import reason
from graphopt.runtime.session import plain, runner

__all__ = ["OrtOpened", "provider_options", "session_options", "starts"]

# One Relu of float[n], made with opset 13 and IR version 8.
_PROBE = bytes.fromhex(
    "08083a350a0c0a0178120179220452656c751201675a100a0178120b0a09080112050a0312016e62100a0179120b0a09080112050a0312016e42040a"
    "00100d"
)


def session_options(options: RunOptions, *, strict: bool = False) -> ort.SessionOptions:
    """Make session options with all of the runtime's optimizations on, and its record of who runs which node.

    With `strict`, nodes that are left to the CPU are an error.
    """
    made = ort.SessionOptions()
    made.log_severity_level = 4
    made.intra_op_num_threads = options.threads
    made.inter_op_num_threads = 1
    made.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    made.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if options.precision != "auto":
        # Otherwise activations in front of constant int8 or int4 weights are quantized, where the model says float.
        made.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if strict:
        made.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in options.config.items():
        if "." in key:
            made.add_session_config_entry(key, value)
    for path in options.custom_ops:
        made.register_custom_ops_library(path)
    return made


def provider_options(options: RunOptions) -> dict[str, str]:
    """Return what `config` holds for the provider."""
    return {key: value for key, value in options.config.items() if "." not in key}


def starts(wanted: str, made: ort.SessionOptions, providers: Sequence[Any] | None) -> str:
    """Open a model of one node with the provider `wanted`, and say in one line why that fails; empty if it does not."""
    try:
        session = ort.InferenceSession(_PROBE, made, providers=providers, enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - the runtime's exceptions have no common base
        return f"{wanted} does not start: {reason(str(error))}"
    return "" if wanted in session.get_providers() else f"{wanted} does not start: onnxruntime falls back to the CPU"


class OrtOpened:
    """A session of onnxruntime in which the provider `wanted` runs something, whichever that is if it is empty.

    `made` and `providers` open the model again.

    Raises `Refused` if `wanted` does not open it, `NotUsable` if it runs nothing, or the CPU something where
    `options.strict` forbids it.
    """

    def __init__(
        self,
        path: str,
        options: RunOptions,
        made: ort.SessionOptions,
        providers: Sequence[Any] | None,
        chosen: Mapping[str, str],
        wanted: str = "",
    ) -> None:
        self.path, self.options = path, options
        self.made, self.providers = made, providers
        try:
            self.session = ort.InferenceSession(path, made, providers=providers, enable_fallback=0)
        except Exception as error:
            if "fallback to CPU EP has been explicitly disabled" in str(error):
                raise NotUsable(f"{wanted} leaves nodes of it to the CPU, which --strict forbids") from error
            if wanted:
                raise Refused(f"{wanted} does not open it: {reason(str(error))}") from error
            raise
        self.inputs = [(each.name, each.type) for each in self.session.get_inputs()]
        self.outputs = [(each.name, each.type) for each in self.session.get_outputs()]
        precision = "auto" if options.precision == "auto" else "as the model says"
        told = {"runtime": f"onnxruntime {ort.__version__}", "precision": precision}
        self.chosen = {**told, **options.config, **chosen}
        self.software = False
        self.parallel = True
        if wanted:
            self._check(wanted)

    def _check(self, wanted: str) -> None:
        """Make sure that `wanted` runs something: a session falls back to the CPU without a word."""
        if wanted not in self.session.get_providers():
            raise NotUsable(f"{wanted} would not run it: onnxruntime falls back to {self.session.get_providers()[0]}")
        placed = self.placement()
        if placed is not None and not placed.get(wanted):
            others = ", ".join(f"{len(nodes)} on {name}" for name, nodes in placed.items()) or "there are none"
            raise NotUsable(f"no node of it would run on {wanted} ({others})")

    def run(self, feed: Mapping[str, Array]) -> list[Any]:
        """Return the outputs of one inference."""
        return plain(self.session, feed)

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference on `feed` with the least work around it."""
        return runner(self.session, feed)

    def placement(self) -> dict[str, list[str]] | None:
        """Return for each provider the names of the nodes that it runs, of the graph as the runtime optimized it.

        None where options that the model declares stand in place of ours, which ask for a record.
        """
        if os.environ.get("ORT_LOAD_CONFIG_FROM_MODEL") == "1":
            return None
        found: dict[str, list[str]] = {}
        for part in self.session.get_provider_graph_assignment_info():
            found.setdefault(part.ep_name, []).extend(node.name for node in part.get_nodes())
        return found

    def profile(self, feed: Mapping[str, Array], runs: int) -> list[Kernel]:
        """Return the time of every executed node, in a session of its own."""
        from graphopt.runtime.providers.ort_profile import profile

        return profile(self.path, self.made, self.providers, feed, runs)
