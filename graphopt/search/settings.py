"""Try settings of onnxruntime's session on a model: each alone, then the winners together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphopt.calibration.task import Feed
from graphopt.graph.load import load
from graphopt.graph.save import save
from graphopt.pipeline.report import RaceRecord
from graphopt.runtime.turns import Contender
from graphopt.search.race import cores, race, records
from graphopt.search.sidecar import declare

__all__ = ["SETTINGS", "Setting", "SettingTrials"]

_DISABLED = "optimization.disable_specified_optimizers"
_DEFAULT, _TOGETHER, _DECLARED = "default settings", "winners together", "declared in the model"


@dataclass(frozen=True)
class Setting:
    """A way to open a session: entries of its configuration, and what of it a model can declare itself.

    onnxruntime reads from a model `intra_op_num_threads`, `inter_op_num_threads`, `execution_mode`,
    `graph_optimization_level` and `enable_profiling`, and no entries of the configuration.
    """

    config: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, int] = field(default_factory=dict)


SETTINGS: Mapping[str, Setting] = {
    "no blocked layout": Setting({_DISABLED: "NchwcTransformer"}, {"graph_optimization_level": 2}),
    "denormals are zero": Setting({"session.set_denormal_as_zero": "1"}),
    "no SkipLayerNormalization": Setting({_DISABLED: "SkipLayerNormFusion"}),
    "no fusion of MatMul and Add": Setting({_DISABLED: "MatMulAddFusion"}),
    "Transposes where they are": Setting({_DISABLED: "TransposeOptimizer"}),
    "no fusion of activations into Conv": Setting({_DISABLED: "ConvActivationFusion"}),
}
"""What is worth a try on one thread, what wins most often or most first; on other models each of them loses."""

_INFERENCES = 12
"""A setting takes about so many inferences to be judged: a model that is too slow for that is not tried with it."""


class SettingTrials:
    """Time one model under several settings; `races` are what was measured."""

    def __init__(self, path: Path, folder: Path, feed: Feed, custom_ops: Sequence[str], seed: int = 0) -> None:
        self._path, self._folder, self._feed, self._seed = path, folder, feed, seed
        self._custom_ops = [str(Path(each).resolve()) for each in custom_ops]
        self.races: list[RaceRecord] = []

    def run(self, settings: Mapping[str, Setting], budget_s: float, latency_s: float = 0.0) -> Setting:
        """Return the winners together, if they win together; of metadata what wins when the runtime reads it itself.

        Of `settings`, the first are tried, as many as there is time for if an inference takes `latency_s`.
        """
        able = int(budget_s / 2 / (_INFERENCES * latency_s)) if latency_s else len(settings)
        settings = dict(itertools.islice(settings.items(), able))
        found = self._race(
            _DEFAULT, {name: self._contender(name, each) for name, each in settings.items()}, budget_s / 2
        )
        best = combined([settings[name] for name in found])
        if best.config:
            declared = {_DECLARED: self._declared(best)} if best.metadata else {}
            found = self._race(_DEFAULT, {_TOGETHER: self._contender(_TOGETHER, best), **declared}, budget_s / 4)
            best = Setting(best.config if _TOGETHER in found else {}, best.metadata if _DECLARED in found else {})
        most = cores()
        if most < 2 or not able:
            return best
        fewer = self._race(f"{most} threads", {"1 thread": self._contender("1 thread", best)}, budget_s / 4, most)
        threads = {"intra_op_num_threads": 1 if fewer else most}
        # Options that a model declares stand in place of all others, the number of threads included.
        return Setting(best.config, {**best.metadata, **threads} if fewer or best.metadata else {})

    def _contender(self, label: str, setting: Setting, threads: int = 1) -> Contender:
        options: dict[str, Any] = {"threads": threads, "custom_ops": self._custom_ops, "config": dict(setting.config)}
        return Contender(label, self._path, options=options)

    def _declared(self, setting: Setting) -> Contender:
        """Return a copy of the model that declares its settings, in a process where the runtime reads them."""
        model = load(self._path)
        declare(model, {**setting.metadata, "intra_op_num_threads": 1})
        copy = self._folder / "declared.onnx"
        save(model, copy)
        return Contender(
            _DECLARED, copy, options={"custom_ops": self._custom_ops}, environment={"ORT_LOAD_CONFIG_FROM_MODEL": "1"}
        )

    def _race(self, base: str, others: Mapping[str, Contender], budget_s: float, threads: int = 1) -> list[str]:
        """Time settings against the default and return the winners: faster beyond the noise."""
        if not others:
            return []
        timing = race([self._contender(base, Setting(), threads), *others.values()], self._feed, budget_s, self._seed)
        self.races.extend(records(timing, base, threads))
        return [name for name, ratio in timing.ratios.items() if ratio.high < 1 and not ratio.no_difference]


def combined(settings: Sequence[Setting]) -> Setting:
    """Return all of these at once; lists of what is disabled are joined."""
    config: dict[str, str] = {}
    for each in settings:
        for key, value in each.config.items():
            config[key] = f"{config[key]};{value}" if key in config else value
    return Setting(config, {key: value for each in settings for key, value in each.metadata.items()})
