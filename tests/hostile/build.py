"""Collect the hostile cases: `python -m tests.hostile.build FOLDER` writes them all, each into its own folder."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.hostile import broken_bytes, external_data, folding, meaning, structure
from tests.hostile.case import Case, write

__all__ = ["CASES"]

CASES: dict[str, Case] = {
    case.name: case for module in (broken_bytes, external_data, structure, folding, meaning) for case in module.CASES
}


def main(root: Path) -> None:
    """Write every case below `root`."""
    for case in CASES.values():
        folder = root / case.name
        folder.mkdir(parents=True)
        write(case, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
