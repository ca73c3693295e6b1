"""Draw what a model is made of as areas: operators, and in each its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphopt.report.page.charts import COLOURS
from graphopt.report.page.svg import Element, drawing, element, fit

__all__ = ["Cell", "Group", "Treemap", "squarify"]

Box = tuple[float, float, float, float]
"""x, y, width, height"""
MOST_CELLS = 240
"""Cells of one picture; the smallest nodes beyond are drawn as one."""


@dataclass(frozen=True)
class Cell:
    """One node: its name, its amount, and what its tip says."""

    name: str
    amount: float
    tip: str = ""


@dataclass(frozen=True)
class Group:
    """All nodes of one operator; `tone` is the number of its colour."""

    name: str
    cells: tuple[Cell, ...]
    tone: int = 0

    @property
    def amount(self) -> float:
        """The sum over the cells."""
        return sum(cell.amount for cell in self.cells)


@dataclass(frozen=True)
class Treemap:
    """Areas in proportion to amounts; `unit` is what they are amounts of."""

    groups: tuple[Group, ...]
    unit: str
    label: str = "treemap"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        height = 340.0 if width > 500 else 420.0
        picture = drawing(width, height, self.label)
        groups = sorted((group for group in self.groups if group.amount > 0), key=lambda group: -group.amount)
        total = sum(group.amount for group in groups)
        for group, box in zip(groups, squarify([g.amount for g in groups], (0, 0, width, height)), strict=True):
            self._group(picture, group, box, total)
        return picture

    def _group(self, picture: Element, group: Group, box: Box, total: float) -> None:
        x, y, width, height = box
        share = group.amount / total
        tip = f"{fit(group.name, 400)}: {share:.1%} of the {self.unit}, {_count(len(group.cells))}"
        made = element("g", picture, class_=f"mark s{group.tone % COLOURS}", data_tip=tip)
        rect = {"x": x, "y": y, "width": max(width - 2, 0.5), "height": max(height - 2, 0.5)}
        element("rect", made, **rect, class_="fill")
        if width > 24 and height > 40 and len(group.cells) > 1:
            self._cells(made, group, (x + 3, y + 20, width - 8, height - 25), total)
        if height > 16:
            text = fit(f"{group.name} {share:.0%}", width - 8) or fit(group.name, width - 4)
            element("text", made, text, x=x + 5, y=y + 14, class_="on")

    def _cells(self, parent: Element, group: Group, box: Box, total: float) -> None:
        cells = sorted(group.cells, key=lambda cell: -cell.amount)
        most = max(4, round(MOST_CELLS * group.amount / total))
        rest = cells[most:]
        if rest:
            cells = [*cells[:most], Cell(f"{len(rest)} others", sum(cell.amount for cell in rest))]
        for cell, (x, y, width, height) in zip(cells, squarify([c.amount for c in cells], box), strict=True):
            if width < 1.5 or height < 1.5:
                continue
            tip = cell.tip or f"{fit(cell.name, 400)}: {cell.amount / total:.1%} of the {self.unit}"
            place = {"x": x, "y": y, "width": width - 1, "height": height - 1}
            element("rect", parent, **place, class_="cell", data_tip=tip)
            if height > 18 and width > 50:
                element("text", parent, fit(cell.name, width - 8, 10), x=x + 4, y=y + 13, class_="on small")


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def squarify(amounts: Sequence[float], box: Box) -> list[Box]:
    """Divide a box into parts in proportion to `amounts`, which fall, with sides as equal as possible.

    Algorithm of Bruls, Huizing and van Wijk, Squarified Treemaps, 2000: a row along the shorter side grows as long as
    its worst aspect ratio does not.
    """
    x, y, width, height = box
    total = sum(amounts)
    if total <= 0 or width <= 0 or height <= 0:
        return [(x, y, 0.0, 0.0) for _ in amounts]
    areas = [amount * width * height / total for amount in amounts]
    made: list[Box] = []
    while areas:
        side = min(width, height)
        row = _row(areas, side)
        depth = sum(row) / side if side > 0 else 0.0
        made += _laid(row, depth, (x, y), across=width >= height)
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
        areas = areas[len(row) :]
    return made


def _row(areas: Sequence[float], side: float) -> list[float]:
    """Take areas for one row, at least one, as long as the worst aspect ratio falls."""
    taken, total = [areas[0]], areas[0]
    for area in areas[1:]:
        old = _worst(max(taken), taken[-1], total, side)
        if area <= 0 or _worst(taken[0], area, total + area, side) > old:
            break
        taken.append(area)
        total += area
    return taken


def _worst(largest: float, smallest: float, total: float, side: float) -> float:
    if smallest <= 0 or total <= 0 or side <= 0:
        return float("inf")
    return max(side**2 * largest / total**2, total**2 / (side**2 * smallest))


def _laid(row: Sequence[float], depth: float, corner: tuple[float, float], *, across: bool) -> Iterator[Box]:
    x, y = corner
    for area in row:
        length = area / depth if depth > 0 else 0.0
        yield (x, y, depth, length) if across else (x, y, length, depth)
        x, y = (x, y + length) if across else (x + length, y)
