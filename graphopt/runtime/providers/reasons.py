"""Find the one line that says why, in what a runtime's exception says."""

from __future__ import annotations

import re

__all__ = ["reason"]

_MOST = 300
_PLACES = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|"
    r"FrontEnd API failed with \w+:|Model wasn't fully converted\.|Failed operations detailed log:|Summary:"
)
"""Where in a runtime's sources something was raised, and what says nothing more."""


def reason(text: str) -> str:
    """Return one line of at most 300 characters; of several causes the first."""
    told = text.rpartition("[OpenVINO-EP]")[2] or text
    causes = [" ".join(part.split()) for part in re.split(r"^-- ", _PLACES.sub("", told), flags=re.MULTILINE)]
    first = next((cause for cause in causes if cause), "it does not say why")
    return first if len(first) <= _MOST else f"{first[: _MOST - 3]}..."
