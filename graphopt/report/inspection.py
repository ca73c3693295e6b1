"""View what a model is made of."""

from __future__ import annotations

from graphopt.graph.facts import Facts
from graphopt.graph.interface import signature
from graphopt.graph.model import Model
from graphopt.graph.stats import stats
from graphopt.report.views import human_bytes, human_count
from graphopt.tables import Table

__all__ = ["inspection"]


def inspection(model: Model) -> list[Table]:
    """Return tables of the model's properties, interface and operators."""
    counted = stats(model, Facts(model))
    properties = [
        ("IR version", str(model.ir.ir_version)),
        ("opsets", ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in model.ir.opset_imports.items())),
        ("producer", " ".join(filter(None, (model.ir.producer_name, model.ir.producer_version))) or "-"),
        ("nodes", str(counted.nodes)),
        ("local functions", str(len(model.ir.functions))),
        ("parameters", human_count(counted.parameters)),
        ("weights", human_bytes(counted.bytes)),
        ("MACs (symbolic sizes as 1)", human_count(counted.macs)),
    ]
    properties += [(f"metadata {key}", text[:80]) for key, text in sorted(model.ir.metadata_props.items())]
    properties += [("note", remark) for remark in model.remarks]
    interface = [(kind, name, kind_of) for kind, name, kind_of in signature(model)]
    operators = tuple((name, str(count)) for name, count in counted.operators.items())
    return [
        Table(("", "model"), tuple(properties), str(model.path or ""), key="properties"),
        Table(("kind", "name", "type"), tuple(interface), key="interface"),
        Table(("operator", "nodes"), operators, "", frozenset({1}), "operators"),
    ]
