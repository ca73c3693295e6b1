"""Read the energy that the processor used, where the system lets us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["EnergyMeter"]

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """The energy counters of all processor packages (RAPL), which count everything that runs on them.

    `source` names them, or is "unavailable" and says why.
    """

    def __init__(self, folder: Path = _POWERCAP) -> None:
        # Domains of a package, such as intel-rapl:0:1, are counted in it; AMD's counters have the same name.
        self._zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        why = "" if self._zones else "this system has no RAPL counters"
        if self._zones:
            try:
                self._read()
            except (OSError, ValueError) as error:
                why = f"the RAPL counters cannot be read: {getattr(error, 'strerror', None) or error}"
        self.usable = not why
        self.source = f"unavailable: {why}" if why else f"RAPL, {len(self._zones)} packages, idle use included"

    def joules(self, work: Callable[[], object]) -> float | None:
        """Return the energy that is used while `work` runs; None where it cannot be read."""
        if not self.usable:
            return None
        before = self._read()
        work()
        after = self._read()
        return sum((end - start) % most for (start, most), (end, _) in zip(before, after, strict=True)) / 1e6

    def _read(self) -> list[tuple[int, int]]:
        """Return the microjoules of each package, and where its counter starts again."""
        names = ("energy_uj", "max_energy_range_uj")
        rows = [[int((zone / name).read_text(encoding="ascii")) for name in names] for zone in self._zones]
        return [(used, most + 1) for used, most in rows]
