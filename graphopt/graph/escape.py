"""Make names from a model safe to print."""

from __future__ import annotations

__all__ = ["clean", "quote"]


def quote(name: object, limit: int = 120) -> str:
    """Return `name` in quotes, control and direction characters escaped, the middle left out beyond `limit`."""
    text = str(name)
    if len(text) > limit:
        text = f"{text[: limit // 2]}...{text[-limit // 4 :]}"
    return repr(text)


def clean(text: str, limit: int = 400) -> str:
    """Return `text` on one line, control and direction characters escaped, cut at `limit` characters."""
    line = " ".join(text[: 4 * limit].split())
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    return safe if len(safe) <= limit else f"{safe[:limit]}..."
