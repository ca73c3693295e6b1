"""Raise the version of the standard operator set that a model imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.model import Model
from graphopt.graph.upgrade import LAST, upgrade, why_not_upgrade
from graphopt.kinds import Target
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "UpgradeOpset"]

_TAKEN: dict[str, int] = {
    Target.ORT_CPU: LAST,
    Target.ORT_CUDA: LAST,
    Target.OPENVINO: 20,
    Target.TENSORRT: 20,
    Target.WEBGPU: 20,
}
"""What each target's released versions load."""


@dataclass(frozen=True)
class UpgradeOpset(Pass):
    """Import a newer version of ai.onnx, and bring every node into the form it has there.

    Left unchanged, with a remark: a model with local functions, or with an operator that means something else in the
    newer version. The IR version rises to what the operator set needs.
    """

    name: ClassVar[str] = "upgrade-opset"

    to: int = 0
    """Version to import; 0 takes the newest that the target loads, and none for the portable target."""

    def run(self, model: Model, context: Context) -> int:
        """Upgrade the whole model, or nothing."""
        to = self.to or _TAKEN.get(context.selection.target, 0)
        if to <= model.opset():
            return 0
        reason = why_not_upgrade(model, to, context.facts)
        if reason:
            context.steps.note(self.name, f"opset stays {model.opset()}: {reason}")
            return 0
        if not context.admit(self.name, f"opset {model.opset()} to {to}"):
            return 0
        upgrade(model, to, context.facts, context.names)
        context.refresh()
        return 1


PASSES = (UpgradeOpset,)
