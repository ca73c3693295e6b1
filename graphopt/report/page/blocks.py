"""Name the parts of a page: chapters of sections of blocks, which the template lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from graphopt.report.page.svg import Element
from graphopt.tables import Table

__all__ = [
    "Block",
    "Card",
    "Chapter",
    "Chart",
    "ChartBlock",
    "Drawn",
    "Listing",
    "Loud",
    "Section",
    "SideBySide",
    "TableBlock",
    "Tabs",
    "Viewer",
]

HALF = 484.0


class Chart(Protocol):
    """What can be drawn at any width."""

    def draw(self, width: float) -> Element:
        """Draw it that wide."""


class Block(Protocol):
    """A part of a section; `kind` names the macro of the template that lays it out."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class TableBlock:
    """A table."""

    kind: ClassVar[str] = "table"

    table: Table


@dataclass(frozen=True)
class ChartBlock:
    """A chart with a caption, and what its colours stand for: names with the numbers of colours."""

    kind: ClassVar[str] = "chart"

    chart: Chart
    caption: str = ""
    legend: tuple[tuple[str, int], ...] = ()
    title: str = ""


@dataclass(frozen=True)
class SideBySide:
    """Charts beside each other in 2 or 3 columns where there is room."""

    kind: ClassVar[str] = "beside"

    charts: tuple[ChartBlock, ...]
    columns: int = 2


@dataclass(frozen=True)
class Tabs:
    """Blocks of which one is seen at a time; all are when there is no script."""

    kind: ClassVar[str] = "tabs"

    label: str
    tabs: tuple[tuple[str, Block], ...]


@dataclass(frozen=True)
class Listing:
    """Rewrites and remarks: `rows` are (number, rule, node, kind, text, index of the region or -1).

    `left_out` counts rows that the page does not hold. The page shows some at a time and filters all.
    """

    kind: ClassVar[str] = "listing"

    rows: tuple[tuple[int, str, str, str, str, int], ...]
    left_out: int = 0

    @property
    def first(self) -> tuple[tuple[int, str, str, str, str, int], ...]:
        """The rows seen without a script."""
        return self.rows[:25]

    @property
    def rules(self) -> list[str]:
        """The rules in their order."""
        return list(dict.fromkeys(row[1] for row in self.rows))

    @property
    def kinds(self) -> list[str]:
        """The kinds in their order."""
        return list(dict.fromkeys(row[3] for row in self.rows))

    @property
    def data(self) -> dict[str, object]:
        """The rows as the script reads them, with rules and kinds by number."""
        rules, kinds = self.rules, self.kinds
        rule, kind = ({name: index for index, name in enumerate(names)} for names in (rules, kinds))
        rows = [[row[0], rule[row[1]], row[2], kind[row[3]], row[4], row[5]] for row in self.rows]
        return {"rules": rules, "kinds": kinds, "rows": rows}


@dataclass(frozen=True)
class Drawn:
    """A region, drawn."""

    title: str
    before: Element
    after: Element

    @property
    def wide(self) -> bool:
        """Whether one side is wider than half of the page, so that they stand below each other."""
        return any(float(side.get("width", "0")) > HALF for side in (self.before, self.after))


@dataclass(frozen=True)
class Viewer:
    """Regions of which one is seen at a time, at the beginning number `first`."""

    kind: ClassVar[str] = "viewer"

    regions: tuple[Drawn, ...]
    first: int = 0


@dataclass(frozen=True)
class Loud:
    """A sentence that a reader must not miss; `tone` is `good`, `bad`, `warn` or `note`."""

    tone: str
    text: str


@dataclass(frozen=True)
class Card:
    """A key figure."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]
    intro: str = ""


@dataclass(frozen=True)
class Chapter:
    """One result: its verdict in one sentence, key figures, loud lines, sections; `tone` as of `Loud`."""

    title: str
    verdict: str
    tone: str
    cards: tuple[Card, ...] = ()
    loud: tuple[Loud, ...] = ()
    sections: tuple[Section, ...] = field(default=())
