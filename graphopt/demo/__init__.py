"""Optimize a small network that reads handwritten digits, and show what that changes.

`digits.onnx` was trained and exported by `examples/train_demo.py`; `digits.npz` holds 300 samples that it never saw,
from scikit-learn's digits: `pixels` [300, 8, 8, 1] of 0 to 16, and `labels` [300].
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphopt.errors import OutputError

if TYPE_CHECKING:
    import numpy as np

    from graphopt.measure.compare import Comparison
    from graphopt.pipeline.report import Report
    from graphopt.tables import Table

__all__ = ["DATA", "MODEL", "Outcome", "run"]

MODEL = Path(__file__).with_name("digits.onnx")
DATA = Path(__file__).with_name("digits.npz")
BATCH = 50


@dataclass(frozen=True)
class Outcome:
    """What the demo found; accuracies are shares of the samples read correctly, `agreement` the share read alike."""

    report: Report
    comparison: Comparison
    samples: int
    accuracy_before: float
    accuracy_after: float
    agreement: float

    def table(self) -> Table:
        """Return the table of accuracy and latency."""
        from graphopt.tables import Table

        accuracy = (f"accuracy on {self.samples} samples", f"{self.accuracy_before:.2%}", f"{self.accuracy_after:.2%}")
        timing = self.comparison.table()
        rows = ((*accuracy, f"{self.agreement:.1%} read alike"), *timing.rows)
        return Table(("", "before", "after", ""), rows, f"batches of {BATCH}, {timing.title}", frozenset({1, 2, 3}))


def run(keep: str | Path | None = None, *, budget_s: float = 4.0) -> Outcome:
    """Optimize the digits network, verify it on real samples, and compare accuracy and latency.

    The model before and after is left in the folder `keep` if one is named. Timing takes `budget_s` seconds.

    Raises `OutputError` if `keep` cannot be written.
    """
    import numpy as np

    import graphopt
    from graphopt.measure.compare import compare_models
    from graphopt.measure.contenders import BenchOptions

    with np.load(DATA) as data:
        pixels, labels = data["pixels"].astype(np.float32), data["labels"]
    with tempfile.TemporaryDirectory(prefix="graphopt-") as folder:
        before, task = Path(folder, MODEL.name), Path(folder, "samples")
        after = Path(folder, "digits.opt.onnx")
        shutil.copyfile(MODEL, before)
        task.mkdir()
        batches = np.split(pixels, len(pixels) // BATCH)
        for index, batch in enumerate(batches):
            np.savez(task / f"batch_{index}.npz", pixels=batch)
        report = graphopt.optimize(before, after, target="ort-cpu", task=str(task), samples=len(batches)).report
        comparison = compare_models(before, after, BenchOptions(task=str(task), budget_s=budget_s))
        read_before, read_after = _read(before, pixels), _read(after, pixels)
        if keep is not None:
            _keep((before, after), Path(keep))
    kept = "" if keep is None else str(Path(keep, after.name))
    return Outcome(
        # The report shows the names that outlive the temporary folder.
        replace(report, model=MODEL.name, output=kept, latency=comparison.latency),
        comparison,
        samples=len(labels),
        accuracy_before=float((read_before == labels).mean()),
        accuracy_after=float((read_after == labels).mean()),
        agreement=float((read_before == read_after).mean()),
    )


def _read(model: Path, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the digit that `model` reads in each sample."""
    from graphopt.runtime.session import open_session

    logits = open_session(str(model), optimize=True).run(["logits"], {"pixels": pixels})[0]
    digits: np.ndarray[Any, Any] = logits.argmax(axis=1)
    return digits


def _keep(models: tuple[Path, ...], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for model in models:
            shutil.copyfile(model, folder / model.name)
    except OSError as error:
        raise OutputError("the models of the demo cannot be kept", where=str(error)) from error
