"""Draw amounts: shares, bars, histograms."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.report.page.charts import COLOURS, axis_x
from graphopt.report.page.scale import number, spanning
from graphopt.report.page.svg import Element, drawing, element, fit

__all__ = ["Bar", "Bars", "Histogram", "Share", "Shares"]


@dataclass(frozen=True)
class Share:
    """A part of a whole, 0 to 1."""

    name: str
    share: float
    tone: int = 0
    text: str = ""


@dataclass(frozen=True)
class Shares:
    """One full bar for each row, split into its parts."""

    rows: tuple[tuple[str, tuple[Share, ...]], ...]
    label: str = "shares"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        step = 46.0
        picture = drawing(width, step * len(self.rows) + 4, self.label)
        for index, (name, parts) in enumerate(self.rows):
            y = step * index
            element("text", picture, fit(name, width - 4), x=2, y=y + 14, class_="name")
            x = 0.0
            for part in parts:
                span = part.share * width
                tip = f"{fit(name, 300)}: {fit(part.name, 300)} {part.share:.1%} {part.text}".rstrip()
                group = element("g", picture, class_=f"mark s{part.tone % COLOURS}", data_tip=tip)
                element("rect", group, x=x, y=y + 20, width=max(span - 1, 0.5), height=20.0, class_="fill")
                text = fit(f"{part.name} {part.share:.0%}", span - 12)
                element("text", group, text, x=x + 6, y=y + 34, class_="on")
                x += span
        return picture


@dataclass(frozen=True)
class Bar:
    """An amount and how it is printed."""

    name: str
    amount: float
    text: str


@dataclass(frozen=True)
class Bars:
    """One bar for each amount, in the order given."""

    rows: tuple[Bar, ...]
    label: str = "amounts"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        step, side = 24.0, min(240.0, width * 0.42)
        picture = drawing(width, step * len(self.rows) + 4, self.label)
        most = max((row.amount for row in self.rows), default=0.0) or 1.0
        texts = max((len(row.text) for row in self.rows), default=0) * 6.8 + 8
        for index, row in enumerate(self.rows):
            y = step * index
            group = element("g", picture, class_="mark s0", data_tip=f"{fit(row.name, 500)}: {row.text}")
            element("text", group, fit(row.name, side - 10), x=side - 8, y=y + 16, text_anchor="end", class_="name")
            span = (width - side - texts) * row.amount / most
            element("rect", group, x=side, y=y + 4, width=max(span, 1.0), height=16.0, class_="fill")
            element("text", group, row.text, x=side + max(span, 1.0) + 6, y=y + 16, class_="tick")
        return picture


@dataclass(frozen=True)
class Histogram:
    """How the values of one tensor are spread before and after; `edges` has one entry more than the counts."""

    name: str
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def label(self) -> str:
        """What a screen reader says."""
        return f"values of {self.name} before and after"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        height, top = 170.0, 10.0
        bottom = height - 44
        picture = drawing(width, height, self.label)
        xs = spanning(self.edges, 10.0, width - 10, margin=0.0)
        most = max((*self.before, *self.after, 1))
        axis_x(picture, xs, top, bottom, "value", 4)
        for index, count in enumerate(self.before):
            low, high = xs(self.edges[index]), xs(self.edges[index + 1])
            tall = (bottom - top) * count / most
            ends = f"{number(self.edges[index])} to {number(self.edges[index + 1])}"
            element(
                "rect",
                picture,
                x=low,
                y=bottom - tall,
                width=max(high - low - 0.5, 0.5),
                height=tall,
                class_="fill s7 soft",
                data_tip=f"{ends}: {count} before, {self.after[index]} after",
            )
        steps = [f"M{xs(self.edges[0]):.1f},{bottom:.1f}"]
        for index, count in enumerate(self.after):
            y = bottom - (bottom - top) * count / most
            steps.append(f"V{y:.1f}H{xs(self.edges[index + 1]):.1f}")
        element("path", picture, d="".join([*steps, f"V{bottom:.1f}"]), class_="line s0")
        return picture
