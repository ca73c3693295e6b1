"""Write the page: one file that opens without a network, and runs nothing but its own script."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphopt.errors import OutputError, UsageError

if TYPE_CHECKING:
    from graphopt.report.page.blocks import Chapter, Chart
    from graphopt.report.page.svg import Element

__all__ = ["prepare", "render", "write"]

WIDE, NARROW = 1000.0, 330.0
"""Widths at which every chart is drawn; the style sheet shows the one that fits."""
MOST_CHARS = 2000
"""Characters of a text; names are cut shorter where they are laid out."""
_FOLDER = Path(__file__).parent
# As in the HTML standard's advice for scripts that hold data: nothing in a string may end the element, or a line.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def prepare(path: Path) -> None:
    """Make sure that a page could be written to `path`, before any work is done for it.

    Raises `UsageError` if jinja2 is missing and `OutputError` if there is no such folder.
    """
    if find_spec("jinja2") is None:
        raise UsageError("an HTML report needs jinja2", advice="install it: pip install 'graphopt[report]'")
    if path.is_dir() or not path.parent.is_dir():
        raise OutputError("the report cannot be written", where=str(path), advice="name a file in a folder that exists")


def render(chapters: Sequence[Chapter], title: str = "graphopt") -> str:
    """Return the page as HTML."""
    import jinja2

    script, style = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(picture=_picture, tree=_tree, data=_data, brief=_brief)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html").render(
        title=title, chapters=chapters, script=_own(script), style=_own(style), policy=policy, wide=WIDE, narrow=NARROW
    )


def write(path: Path, chapters: Sequence[Chapter], title: str = "graphopt") -> None:
    """Write the page atomically.

    Raises `UsageError` and `OutputError` as `prepare` does, and `OutputError` if the disk refuses.
    """
    prepare(path)
    text = render(chapters, title)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise OutputError("the report cannot be written", where=f"{path}: {error.strerror}") from error


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _own(text: str) -> Any:
    """Mark a text of this package as fit for the page as it stands."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - read from this folder


def _visible(value: Any) -> Any:
    """Show what would act on the page's text, and no more of a name than anyone reads; markup stays as it is."""
    from graphopt.report.page.svg import shown

    return shown(value, MOST_CHARS) if type(value) is str else value


def _brief(cell: str) -> str:
    from graphopt.report.page.svg import shown

    return shown(cell)


def _picture(chart: Chart, width: float) -> Any:
    return _tree(chart.draw(width))


def _tree(tree: Element) -> Any:
    """Serialize a drawing; the serializer escapes what it holds."""
    from markupsafe import Markup

    from graphopt.report.page.svg import markup

    return Markup(markup(tree))  # noqa: S704 - escaped by the serializer


def _data(value: object) -> Any:
    """Print data for a script element of type application/json."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))  # noqa: S704 - nothing in it can end the element
