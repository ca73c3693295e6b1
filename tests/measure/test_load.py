"""Load: several callers, requests by schedule, and energy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graphopt.demo import MODEL
from graphopt.measure.energy import EnergyMeter
from graphopt.measure.load import arrivals, closed_load, open_load
from graphopt.runtime.crowd import run_closed, run_open
from graphopt.runtime.turns import Contender, Stand


def nap(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)


def test_callers_run_at_once() -> None:
    spent_alone, alone = run_closed([nap(0.01)], 0.2)
    spent, taken = run_closed([nap(0.01)] * 4, 0.2)
    assert min(alone) >= 0.01
    assert len(alone) <= 0.22 / 0.01 + 1
    assert len(taken) / spent > 2 * len(alone) / spent_alone


def test_a_caller_that_is_slower_than_the_time_runs_once() -> None:
    _, taken = run_closed([nap(0.05)], 0.001)
    assert len(taken) == 1


def test_what_a_caller_raises_is_passed_on() -> None:
    calls = iter(range(3))

    def fail() -> None:
        if next(calls) == 2:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        run_closed([fail], 0.5)


def test_latency_counts_from_when_a_request_was_due() -> None:
    """A model that takes twice the time between requests falls behind, and each waits longer than the one before."""
    due = np.arange(20) * 0.01
    _, latencies, waited = run_open([nap(0.02)], due, 10)
    assert np.all(np.diff(latencies) > 0)
    assert latencies[-1] > 0.2
    assert waited[1:].all()


def test_more_servers_keep_up() -> None:
    due = np.arange(20) * 0.02
    _, latencies, waited = run_open([nap(0.03)] * 4, due, 10)
    assert np.median(latencies) < 0.05
    assert waited.mean() < 0.5


def test_a_hopeless_rate_ends_and_says_so() -> None:
    begin = time.perf_counter()
    _, latencies, _ = run_open([nap(0.02)], np.arange(1000) * 1e-4, 0.1)
    assert time.perf_counter() - begin < 2
    assert 1 <= len(latencies) < 20


def test_arrivals_are_a_seeded_poisson_process() -> None:
    one, other = arrivals(1000, 10, 3), arrivals(1000, 10, 3)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, arrivals(1000, 10, 4))
    gaps = np.diff(one)
    assert len(one) == 10_000
    # The standard deviation of exponential gaps is their mean.
    assert abs(gaps.mean() * 1000 - 1) < 0.05
    assert abs(gaps.std() * 1000 - 1) < 0.05
    assert len(arrivals(0.1, 1, 0)) == 20


@pytest.mark.parametrize("ep", ["cpu", "openvino"])
def test_load_on_a_real_model(ep: str) -> None:
    if ep == "openvino":
        pytest.importorskip("openvino")
    feed = {"pixels": np.ones((50, 8, 8, 1), np.float32)}
    with Stand(Contender("digits", MODEL, ep), callers=2) as stand:
        stand.open()
        stand.feed(feed)
        stand.first()
        closed = closed_load(stand, 2, 0.2)
        opened = open_load(stand, 50, 0.4, 0)
    assert closed.concurrency == 2
    assert 10 < closed.per_second < 1e6
    assert 0 < closed.median_ms <= closed.p90_ms
    # Each of two callers waits for its result.
    assert closed.per_second <= 3e3 / closed.median_ms
    assert (opened.requests, opened.unserved, opened.p99_ms, opened.servers) == (20, 0, None, 1)
    assert 0 < opened.median_ms <= opened.p90_ms


def zone(folder: Path, name: str, used: int, most: int = 999) -> Path:
    place = folder / name
    place.mkdir()
    (place / "energy_uj").write_text(f"{used}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")
    return place


def test_energy_is_that_of_all_packages_and_survives_the_end_of_a_counter(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 100), zone(tmp_path, "intel-rapl:1", 990)
    zone(tmp_path, "intel-rapl:0:0", 5)
    meter = EnergyMeter(tmp_path)

    def work() -> None:
        (first / "energy_uj").write_text("350\n")
        (second / "energy_uj").write_text("10\n")

    assert meter.usable
    assert meter.source.startswith("RAPL, 2 packages")
    assert meter.joules(work) == pytest.approx((250 + 20) / 1e6)


def test_energy_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).source == "unavailable: this system has no RAPL counters"
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").unlink()
    meter = EnergyMeter(tmp_path)
    assert meter.source.startswith("unavailable: the RAPL counters cannot be read")
    assert meter.joules(lambda: pytest.fail("ran for nothing")) is None
