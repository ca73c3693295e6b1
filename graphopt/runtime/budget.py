"""Say what verification may spend."""

from __future__ import annotations

from dataclasses import dataclass

from graphopt.runtime.limits import Limits, free_bytes

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget:
    """What verification may spend.

    `seconds` bounds each loading and each inference (default: 10, and 1 more for each MB of weights, up to 610),
    `search_seconds` the search for sizes that run. After an inference slower than `slow_seconds` one feed is enough.
    `memory_bytes` bounds the child (default: nine tenths of what the machine has free). `threads` is 2 by default.
    """

    seconds: float | None = None
    search_seconds: float = 10.0
    slow_seconds: float = 5.0
    feeds: int = 3
    memory_bytes: int | None = None
    threads: int = 0

    def limits(self, weight_bytes: int) -> Limits:
        """Return the bounds of one request about a model of `weight_bytes`."""
        seconds = 10.0 + min(weight_bytes / 1e6, 600.0) if self.seconds is None else self.seconds
        return Limits(memory_bytes=self.memory_bytes or free_bytes(), wall_seconds=seconds)
