"""Compare a run with the result file that README's table is from: `python benchmarks/reproduce.py [NEW [OLD]]`.

Exits with 1 if a ratio is not within 5 % of the other one, or a tool is right in one and not in the other. NEW is the
file of this machine and commit if it is not given, and OLD the newest other one that was measured on such a machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.records import RIGHT, SuiteResult, entry_of, load
from benchmarks.run import PARTIAL, RESULTS, result_path

__all__ = ["compare", "ratios"]

BOUND = 0.05


def ratios(result: SuiteResult) -> dict[tuple[str, str, int], float]:
    """Return the ratios of right results by model, tool and threads."""
    found = {}
    for model in result.models:
        right = [attempt.tool for attempt in model.attempts if attempt.status == RIGHT]
        for report in model.reports:
            for tool in right:
                entry = entry_of(report, tool)
                if entry is not None and entry.ratio is not None:
                    found[model.name, tool, report.threads] = entry.ratio.median
    return found


def compare(new: SuiteResult, old: SuiteResult) -> tuple[int, list[str]]:
    """Return how many ratios both have, and in one line each what is not reproduced of the models that both have."""
    after, before = ratios(new), ratios(old)
    shared = {model.name for model in new.models} & {model.name for model in old.models}
    lines = []
    for key in sorted({*after, *before}):
        if key[0] not in shared:
            continue
        name = f"{key[0]}, {key[1]}, {key[2]} thread(s)"
        if key not in after or key not in before:
            lines.append(f"{name}: only in {'the new' if key in after else 'the old'} result")
        elif abs(after[key] / before[key] - 1) > BOUND:
            lines.append(f"{name}: {before[key]:.3f}, then {after[key]:.3f}")
    return len(after.keys() & before.keys()), lines


def _others(new: Path, machine: str) -> list[Path]:
    files = [path for path in RESULTS.glob("*.json") if path != new and path.name != "schema.json"]
    alike = [path for path in files if not path.stem.endswith(PARTIAL) and load(path).machine == machine]
    return sorted(alike, key=lambda path: load(path).created)


def main() -> int:
    """Print what is not reproduced."""
    parser = argparse.ArgumentParser(description="Compare a run of the suite with an earlier one.")
    parser.add_argument("new", nargs="?", type=Path, help="a result file (default: that of this machine and commit)")
    parser.add_argument("old", nargs="?", type=Path, help="a result file (default: the newest other one)")
    given = parser.parse_args()
    path = given.new or result_path(RESULTS, partial=False)
    new = load(path)
    others = [given.old] if given.old else _others(path, new.machine)
    if not others:
        print("there is no other result of such a machine to compare with")
        return 0
    old = load(others[-1])
    count, lines = compare(new, old)
    for one in lines:
        print(one)
    print(f"{path.name} against {others[-1].name}: {count} ratios, {len(lines)} not within {BOUND:.0%}")
    return int(bool(lines) or not count)


if __name__ == "__main__":
    sys.exit(main())
