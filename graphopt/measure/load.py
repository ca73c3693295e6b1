"""Put load on an opened model: callers that wait for their result, and requests that come when they come."""

from __future__ import annotations

import numpy as np

from graphopt.measure.records import OpenLoad, Throughput
from graphopt.runtime.turns import Stand

__all__ = ["arrivals", "closed_load", "open_load"]

_ENOUGH_FOR_P99 = 1000
_FEWEST_REQUESTS = 20
_MOST_REQUESTS = 100_000


def closed_load(stand: Stand, concurrency: int, seconds: float) -> Throughput:
    """Let `concurrency` callers run inference after inference for `seconds`, each in a thread of its own."""
    reply, (taken,) = stand.ask("closed_load", key="", callers=concurrency, seconds=seconds)
    taken = taken * 1e3
    return Throughput(
        concurrency, len(taken) / reply["seconds"], float(np.median(taken)), float(np.quantile(taken, 0.9))
    )


def arrivals(rate: float, seconds: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Draw when requests come, in seconds from the start: a Poisson process of `rate` per second."""
    count = int(min(_MOST_REQUESTS, max(_FEWEST_REQUESTS, rate * seconds)))
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


def open_load(stand: Stand, rate: float, seconds: float, seed: int, servers: int = 1) -> OpenLoad:
    """Send requests at random moments, `rate` per second, whether or not those before are done.

    Latency counts from when a request was due, so that waiting behind slow ones is seen.
    """
    due = arrivals(rate, seconds, seed)
    patience = 2 * float(due[-1])
    reply, (latencies, waited) = stand.ask("open_load", [due], key="", servers=servers, seconds=patience)
    taken = latencies * 1e3
    return OpenLoad(
        rate=rate,
        servers=servers,
        requests=len(taken),
        per_second=len(taken) / reply["seconds"],
        median_ms=float(np.median(taken)),
        p90_ms=float(np.quantile(taken, 0.9)),
        p99_ms=float(np.quantile(taken, 0.99)) if len(taken) >= _ENOUGH_FOR_P99 else None,
        behind=float(np.mean(waited)),
        unserved=len(due) - len(taken),
    )
