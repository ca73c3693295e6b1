"""Show what a model is made of before and after, as treemaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from graphopt.graph.stats import GraphStats
from graphopt.report.exhibits import Exhibits, NodeCount
from graphopt.report.page.blocks import Block, ChartBlock, Section, SideBySide, Tabs
from graphopt.report.page.charts import COLOURS
from graphopt.report.page.svg import shown
from graphopt.report.page.treemap import Cell, Group, Treemap
from graphopt.report.views import human_count

__all__ = ["makeup", "pair"]

Groups = tuple[Group, ...]


def makeup(before: GraphStats, after: GraphStats, models: Exhibits) -> Section:
    """Return the section with the operators before and after: by nodes, and by multiply-accumulates if known."""
    names = list({**before.operators, **after.operators})
    tones = {name: index for index, name in enumerate(names)}
    counts = pair(
        _by_nodes(before.operators, models.before, tones), _by_nodes(after.operators, models.after, tones), "nodes"
    )
    tabs: list[tuple[str, Block]] = [("By nodes", counts)]
    macs = [_by_macs(nodes, tones) for nodes in (models.before, models.after)]
    if all(macs):
        tabs.append(("By multiply-accumulates", pair(macs[0], macs[1], "multiply-accumulates")))
    return Section("Operators", (Tabs("Operators", tuple(tabs)),))


def pair(before: Groups, after: Groups, unit: str) -> SideBySide:
    """Put two treemaps beside each other."""
    sides = (("Before", before), ("After", after))
    return SideBySide(
        tuple(ChartBlock(Treemap(groups, unit, f"{name}: operators by {unit}"), title=name) for name, groups in sides)
    )


def _by_nodes(operators: Mapping[str, int], nodes: Sequence[NodeCount], tones: Mapping[str, int]) -> Groups:
    if nodes:
        return _grouped(nodes, tones, lambda _: 1)
    return tuple(
        Group(name, tuple(Cell(name, 1.0) for _ in range(min(count, 500))), tones[name] % COLOURS)
        for name, count in operators.items()
    )


def _by_macs(nodes: Sequence[NodeCount], tones: Mapping[str, int]) -> Groups:
    return _grouped([node for node in nodes if node.macs], tones, lambda node: node.macs or 0)


def _grouped(
    nodes: Iterable[NodeCount], tones: Mapping[str, int], amount: Callable[[NodeCount], float]
) -> tuple[Group, ...]:
    found: dict[str, list[Cell]] = {}
    for node in nodes:
        tip = f"{node.operator} {shown(node.name, 120)}" + (f": {human_count(node.macs)} MACs" if node.macs else "")
        found.setdefault(node.operator, []).append(Cell(node.name, amount(node), tip))
    return tuple(Group(name, tuple(cells), tones.get(name, 0) % COLOURS) for name, cells in found.items())
