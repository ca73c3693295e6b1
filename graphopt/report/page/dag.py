"""Draw a region of a graph as boxes in layers."""

from __future__ import annotations

from graphopt.report.page.layers import lay_out
from graphopt.report.page.svg import Element, drawing, element, fit
from graphopt.report.regions import Part

__all__ = ["draw_part"]

WIDE, TALL, GAP_X, GAP_Y = 150.0, 40.0, 14.0, 30.0
SIGNS = {"removed": "\u2212", "added": "+", "changed": "~"}


def draw_part(part: Part, label: str) -> Element:
    """Draw one side of a region; what changed has a colour, a sign and a kind of border."""
    edges = sorted({(tail, head) for tail, head, _ in part.edges})
    layout = lay_out(len(part.boxes), edges)
    width = max(layout.columns, 1) * (WIDE + GAP_X) + GAP_X
    picture = drawing(width, layout.layers * (TALL + GAP_Y) + GAP_Y / 2, label)
    for route in layout.routes:
        middle = [(x * (WIDE + GAP_X) + GAP_X + WIDE / 2, y * (TALL + GAP_Y) + 8) for x, y in route]
        element("path", picture, d=_curve(middle), class_="edge")
    for box, (column, layer) in zip(part.boxes, layout.places, strict=True):
        x, y = column * (WIDE + GAP_X) + GAP_X, layer * (TALL + GAP_Y) + 8
        group = element("g", picture, class_=f"node {box.change}", data_tip=box.tip)
        element("rect", group, x=x, y=y, width=WIDE, height=TALL, rx=6)
        sign = SIGNS.get(box.change, "")
        element("text", group, fit(f"{sign} {box.operator}".strip(), WIDE - 12), x=x + 8, y=y + 17, class_="name")
        element("text", group, fit(box.name, WIDE - 12, 10), x=x + 8, y=y + 32, class_="small")
        if box.hidden:
            element("text", group, f"+{box.hidden}", x=x + WIDE - 6, y=y + 17, text_anchor="end", class_="small")
    return picture


def _curve(middle: list[tuple[float, float]]) -> str:
    """Return a path from the foot of the first box to the head of the last, straight through the layers between."""
    x, y = middle[0]
    path, y = f"M{x:.1f},{y + TALL:.1f}", y + TALL
    for next_x, next_y in middle[1:]:
        bend = (next_y - y) / 2
        path += f"C{x:.1f},{y + bend:.1f} {next_x:.1f},{next_y - bend:.1f} {next_x:.1f},{next_y:.1f}"
        path += f"V{next_y + TALL:.1f}" if (next_x, next_y) != middle[-1] else ""
        x, y = next_x, next_y + TALL
    return path
