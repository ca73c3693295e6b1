"""Draw measurements: distributions, rounds, ratios with their intervals, error against latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphopt.report.page.scale import Scale, number, spanning
from graphopt.report.page.svg import Element, drawing, element, fit

__all__ = ["Cumulative", "Interval", "Intervals", "Point", "Points", "Rounds", "Series", "legend"]

LEFT, RIGHT, TOP, FOOT = 48.0, 14.0, 12.0, 44.0
COLOURS = 8


@dataclass(frozen=True)
class Series:
    """Named values; `tone` is the number of its colour."""

    name: str
    values: tuple[float, ...]
    tone: int = 0


def legend(series: Sequence[Series | Point]) -> tuple[tuple[str, int], ...]:
    """Return names with the numbers of their colours."""
    return tuple((each.name, each.tone % COLOURS) for each in series)


def axis_x(picture: Element, scale: Scale, top: float, bottom: float, title: str, count: int = 6) -> None:
    """Draw grid lines, tick labels and the title of a horizontal axis."""
    for tick in scale.ticks(count):
        x = scale(tick)
        element("line", picture, x1=x, x2=x, y1=top, y2=bottom, class_="grid")
        element("text", picture, scale.text(tick, count), x=x, y=bottom + 16, text_anchor="middle", class_="tick")
    middle = (scale.start + scale.end) / 2
    element("text", picture, title, x=middle, y=bottom + 36, text_anchor="middle", class_="axis")


def axis_y(picture: Element, scale: Scale, left: float, right: float, title: str, *, percent: bool = False) -> None:
    """Draw grid lines and tick labels of a vertical axis; its title stands above it."""
    for tick in scale.ticks(4):
        y = scale(tick)
        text = f"{tick:.0%}" if percent else scale.text(tick, 4)
        element("line", picture, x1=left, x2=right, y1=y, y2=y, class_="grid")
        element("text", picture, text, x=left - 6, y=y + 4, text_anchor="end", class_="tick")
    element("text", picture, title, x=4, y=11, class_="axis")


def points_text(pairs: Sequence[tuple[float, float]]) -> str:
    """Print places for a `points` attribute."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


@dataclass(frozen=True)
class Cumulative:
    """For each latency the share of rounds that were at least as fast, one line for each series.

    `noise` is the range over which the base itself moves between two processes: low, high.
    """

    series: tuple[Series, ...]
    noise: tuple[float, float] | None = None
    title: str = "ms"
    label: str = "share of rounds that took at most so long"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        height = 300.0
        picture = drawing(width, height, self.label)
        values = [value for each in self.series for value in each.values]
        xs = spanning(values, LEFT, width - RIGHT, margin=0.04)
        ys = Scale(0, 1, height - FOOT, TOP + 12)
        axis_x(picture, xs, TOP + 12, height - FOOT, self.title, 6 if width > 500 else 4)
        axis_y(picture, ys, LEFT, width - RIGHT, "share of rounds", percent=True)
        if self.noise is not None:
            low, high = map(xs, self.noise)
            element("rect", picture, x=low, y=TOP + 12, width=max(high - low, 1), height=ys(0) - ys(1), class_="noise")
        for each in self.series:
            self._line(picture, each, xs, ys)
        return picture

    def _line(self, picture: Element, each: Series, xs: Scale, ys: Scale) -> None:
        ordered = sorted(each.values)
        pairs = [(xs(ordered[0]), ys(0))]
        for index, value in enumerate(ordered, 1):
            pairs += [(xs(value), pairs[-1][1]), (xs(value), ys(index / len(ordered)))]
        middle = ordered[len(ordered) // 2]
        tip = f"{fit(each.name, 400)}: median {number(middle)} {self.title}, {len(ordered)} rounds"
        element("polyline", picture, points=points_text(pairs), class_=f"line s{each.tone % COLOURS}", data_tip=tip)


@dataclass(frozen=True)
class Rounds:
    """Values in the order in which they were measured, so that drift and disturbances show."""

    series: tuple[Series, ...]
    title: str = "ms"
    label: str = "median of each round in the order of measurement"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        height = 260.0
        picture = drawing(width, height, self.label)
        ys = spanning([value for each in self.series for value in each.values], height - FOOT, TOP + 12, margin=0.08)
        longest = max(len(each.values) for each in self.series)
        xs = Scale(1, max(longest, 2), LEFT + 6, width - RIGHT)
        axis_x(picture, xs, TOP + 12, height - FOOT, "round", 6 if width > 500 else 4)
        axis_y(picture, ys, LEFT, width - RIGHT, self.title)
        for each in self.series:
            pairs = [(xs(index), ys(value)) for index, value in enumerate(each.values, 1)]
            tip = f"{fit(each.name, 400)}: {number(min(each.values))} to {number(max(each.values))} {self.title}"
            element("polyline", picture, points=points_text(pairs), class_=f"line s{each.tone % COLOURS}", data_tip=tip)
        return picture


@dataclass(frozen=True)
class Interval:
    """A ratio with its interval; `quiet` means that noise alone explains it."""

    name: str
    low: float
    median: float
    high: float
    quiet: bool = False
    tone: int = 0


@dataclass(frozen=True)
class Intervals:
    """Ratios to the base with their intervals; `noise` is the interval of the base against itself."""

    rows: tuple[Interval, ...]
    noise: tuple[float, float] | None = None
    title: str = "latency ratio, below 1 is faster"
    label: str = "latency ratios with 95 % intervals"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        step = 46.0
        height = TOP + step * len(self.rows) + FOOT
        picture = drawing(width, height, self.label)
        ends = [end for row in self.rows for end in (row.low, row.high)]
        xs = spanning([1.0, *ends, *(self.noise or ())], 14.0, width - 20, margin=0.06)
        bottom = height - FOOT
        axis_x(picture, xs, TOP, bottom, self.title, 7 if width > 500 else 4)
        if self.noise is not None:
            low, high = map(xs, self.noise)
            tip = f"noise: the base against itself, {self.noise[0]:.3f} to {self.noise[1]:.3f}"
            element(
                "rect",
                picture,
                x=low,
                y=TOP,
                width=max(high - low, 1),
                height=bottom - TOP,
                class_="noise",
                data_tip=tip,
            )
        element("line", picture, x1=xs(1), x2=xs(1), y1=TOP, y2=bottom, class_="base")
        for index, row in enumerate(self.rows):
            self._row(picture, row, xs, TOP + step * index + 32, width)
        return picture

    def _row(self, picture: Element, row: Interval, xs: Scale, y: float, width: float) -> None:
        said = f"{row.median:.3f} [{row.low:.3f}, {row.high:.3f}]"
        if row.quiet and width > 500:
            said += " no difference"
        group = element("g", picture, class_=f"mark s{row.tone % COLOURS}", data_tip=f"{fit(row.name, 400)}: {said}")
        name = fit(row.name, width - 24 - len(said) * 6.6)
        element("text", group, name, x=14, y=y - 12, class_="name")
        element("text", group, said, x=width - 20, y=y - 12, text_anchor="end", class_="tick")
        element("line", group, x1=xs(row.low), x2=xs(row.high), y1=y, y2=y, class_="line")
        for end in (row.low, row.high):
            element("line", group, x1=xs(end), x2=xs(end), y1=y - 5, y2=y + 5, class_="line")
        element("circle", group, cx=xs(row.median), cy=y, r=5.0, class_="hollow" if row.quiet else "dot")


@dataclass(frozen=True)
class Point:
    """A latency and how wrong or good the results are."""

    name: str
    x: float
    y: float
    tone: int = 0


@dataclass(frozen=True)
class Points:
    """Quality against latency; with `log` the quality is an error, on a logarithmic axis whose foot stands for 0."""

    points: tuple[Point, ...]
    title_x: str
    title_y: str
    log: bool = False
    label: str = "quality against latency"

    def draw(self, width: float) -> Element:
        """Draw it that wide."""
        height = 320.0
        picture = drawing(width, height, self.label)
        left, bottom = LEFT + 12, height - FOOT
        xs = spanning([point.x for point in self.points], left, width - RIGHT - 20, margin=0.12)
        ys = spanning([point.y for point in self.points], bottom - 14, TOP + 20, margin=0.12, log=self.log)
        axis_x(picture, xs, TOP + 12, bottom, self.title_x, 6 if width > 500 else 4)
        axis_y(picture, ys, left, width - RIGHT, self.title_y)
        if self.log and any(point.y == 0 for point in self.points):
            element("text", picture, "0", x=left - 6, y=bottom + 2, text_anchor="end", class_="tick")
            element("line", picture, x1=left, x2=width - RIGHT, y1=bottom, y2=bottom, class_="grid")
        for point in self.points:
            self._point(picture, point, xs(point.x), bottom if self.log and point.y <= 0 else ys(point.y), width)
        return picture

    def _point(self, picture: Element, point: Point, x: float, y: float, width: float) -> None:
        tip = f"{fit(point.name, 400)}: {number(point.x)} {self.title_x}, {number(point.y)} {self.title_y}"
        group = element("g", picture, class_=f"mark s{point.tone % COLOURS}", data_tip=tip)
        element("circle", group, cx=x, cy=y, r=6.0, class_="dot")
        right = x < width / 2
        room = (width - x if right else x) - 30
        anchor = "start" if right else "end"
        place = x + 11 if right else x - 11
        element("text", group, fit(point.name, room), x=place, y=y - 8, text_anchor=anchor, class_="name")
