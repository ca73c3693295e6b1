"""Build SVG as a tree, so that every name is escaped by the serializer and none by hand."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET

from graphopt.tables import plain

__all__ = ["Element", "drawing", "element", "fit", "markup", "shown"]

Element = ET.Element
FONT = 12
"""Height of text in user units, which are CSS pixels."""
_ADVANCE = 0.6
"""Mean width of a Latin character as a share of the height; East Asian ones and emoji take about one whole."""
LONGEST = 300
"""Characters of a name that the page shows; the JSON holds the rest."""


def element(tag: str, parent: Element | None = None, text: str = "", /, **attributes: object) -> Element:
    """Make an element, inside `parent` if one is given; `class_` and `text_anchor` become `class`, `text-anchor`."""
    given = {name.rstrip("_").replace("_", "-"): _value(value) for name, value in attributes.items()}
    made = ET.Element(tag, given) if parent is None else ET.SubElement(parent, tag, given)
    if text:
        made.text = plain(text)
    return made


def drawing(width: float, height: float, label: str) -> Element:
    """Make an empty picture of that size; `label` is what a screen reader says."""
    box = f"0 0 {_value(width)} {_value(height)}"
    return element("svg", viewBox=box, width=width, height=height, role="img", aria_label=shown(label))


def markup(tree: Element) -> str:
    """Serialize a tree for use inside HTML."""
    return ET.tostring(tree, encoding="unicode", short_empty_elements=tree.tag == "svg")


def shown(text: object, longest: int = LONGEST) -> str:
    """Return a name as a page shows it: control and bidirectional characters visible, at most `longest` characters."""
    head = str(text)[: longest + 1]
    return plain(head) if len(head) <= longest else f"{plain(head[: longest - 1])}…"


def fit(text: str, width: float, size: float = FONT) -> str:
    """Cut a name so that it fits into `width`; empty if not even two characters do."""
    escaped, used = shown(text), 0.0
    for index, char in enumerate(escaped):
        used += size * (1.05 if unicodedata.east_asian_width(char) in "WF" else _ADVANCE)
        if used > width:
            return f"{escaped[: index - 1]}…" if index > 2 else ""
    return escaped


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return plain(value)
