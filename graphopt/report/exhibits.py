"""Look at the models of a run for what its report cannot hold: nodes one by one, regions, weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from graphopt.errors import GraphOptError
from graphopt.graph.facts import Facts
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.graph.stats import node_macs
from graphopt.report.regions import Region, regions
from graphopt.report.weights import WeightHistogram, weight_histograms
from graphopt.rewrite.steps import Step, label

__all__ = ["Exhibits", "NodeCount", "exhibits", "node_counts"]


@dataclass(frozen=True)
class NodeCount:
    """A node and its multiply-accumulates, each symbolic size as 1; None if they are not known."""

    operator: str
    name: str
    macs: int | None


@dataclass(frozen=True)
class Exhibits:
    """What two models show beside each other; `missing` says why something could not be shown."""

    before: tuple[NodeCount, ...] = ()
    after: tuple[NodeCount, ...] = ()
    regions: tuple[Region, ...] = ()
    histograms: tuple[WeightHistogram, ...] = ()
    missing: str = ""


def exhibits(before: str, before_sha256: str, after: str, after_sha256: str, steps: tuple[Step, ...]) -> Exhibits:
    """Load both models of a run, if they are still the files that were seen then, and look at them."""
    old = _same_file(before, before_sha256)
    new = _same_file(after, after_sha256)
    if old is None or new is None:
        which = " and ".join(name for name, model in (("before", old), ("after", new)) if model is None)
        counts = [() if model is None else node_counts(model) for model in (old, new)]
        missing = f"The model {which} is not here any more as it was, so no graph is drawn."
        return Exhibits(counts[0], counts[1], missing=missing)
    return Exhibits(node_counts(old), node_counts(new), regions(old, new, steps), weight_histograms(old, new))


def node_counts(model: Model) -> tuple[NodeCount, ...]:
    """List all nodes of a model but Constant nodes."""
    facts = Facts(model)
    return tuple(
        NodeCount(f"{node.domain}.{node.op_type}" if node.domain else node.op_type, label(node), node_macs(node, facts))
        for scope in model.scopes()
        for node in scope
        if node.op_type != "Constant" or node.domain
    )


def _same_file(path: str, sha256: str) -> Model | None:
    """Load a model file if it holds what it held; the hash tells, not the name."""
    file = Path(path)
    try:
        if not path or not file.is_file():
            return None
        with file.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
                return None
        return load(file)
    except (GraphOptError, OSError, ValueError):
        return None  # a view of a run is no place to fail for a file that went away
