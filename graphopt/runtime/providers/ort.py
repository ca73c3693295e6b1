"""Open models with onnxruntime, whatever its provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort

from graphopt.runtime.frames import Array
from graphopt.runtime.providers.interface import Kernel, RunOptions
from graphopt.runtime.session import plain, runner

__all__ = ["OrtOpened", "session_options"]


def session_options(options: RunOptions) -> ort.SessionOptions:
    """Make session options with all of the runtime's optimizations on, and its record of who runs which node."""
    made = ort.SessionOptions()
    made.log_severity_level = 4
    made.intra_op_num_threads = options.threads
    made.inter_op_num_threads = 1
    made.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    made.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for key, value in options.config.items():
        made.add_session_config_entry(key, value)
    for path in options.custom_ops:
        made.register_custom_ops_library(path)
    return made


class OrtOpened:
    """A session of onnxruntime."""

    def __init__(
        self,
        path: str,
        options: RunOptions,
        made: ort.SessionOptions,
        providers: Sequence[Any] | None,
        chosen: Mapping[str, str],
    ) -> None:
        self.path, self.options = path, options
        self.session = ort.InferenceSession(path, made, providers=providers, enable_fallback=0)
        self.inputs = [(each.name, each.type) for each in self.session.get_inputs()]
        self.outputs = [(each.name, each.type) for each in self.session.get_outputs()]
        self.chosen = {"runtime": f"onnxruntime {ort.__version__}", **options.config, **chosen}
        self.software = False

    def run(self, feed: Mapping[str, Array]) -> list[Any]:
        """Return the outputs of one inference."""
        return plain(self.session, feed)

    def bind(self, feed: Mapping[str, Array]) -> Callable[[], object]:
        """Return what runs one inference on `feed` with the least work around it."""
        return runner(self.session, feed)

    def placement(self) -> dict[str, list[str]] | None:
        """Return for each provider the names of the nodes that it runs, of the graph as the runtime optimized it."""
        found: dict[str, list[str]] = {}
        for part in self.session.get_provider_graph_assignment_info():
            found.setdefault(part.ep_name, []).extend(node.name for node in part.get_nodes())
        return found

    def profile(self, feed: Mapping[str, Array], runs: int) -> list[Kernel]:
        """Return the time of every executed node."""
        raise NotImplementedError
