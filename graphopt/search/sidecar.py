"""Say settings of the session where they are found: in the model, in a file beside it, and in a sentence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphopt.errors import OutputError
from graphopt.graph.model import Model
from graphopt.pipeline.report import Report, TuningRecord

__all__ = ["METADATA_KEY", "content", "declare", "notes_on", "settings_path", "write_settings"]

METADATA_KEY = "ort_config"
"""Under this key onnxruntime reads session options from a model, if ORT_LOAD_CONFIG_FROM_MODEL is 1 in its process."""


_CHOSEN = {
    "original": "nothing was faster than the original, which is left as it is",
    "choices": "rewrites chosen by place are kept where they win",
    "default": "the pipeline as it is does best",
    "no choices": "the pipeline without what is chosen by place does best",
}


def declare(model: Model, options: Mapping[str, int]) -> None:
    """Put session options into a model's metadata, beside those that it declares already."""
    props = model.ir.metadata_props
    whole = _object(props.get(METADATA_KEY, ""))
    props[METADATA_KEY] = json.dumps(
        {**whole, "session_options": {**_object(whole.get("session_options")), **options}}, sort_keys=True
    )


def _object(found: Any) -> dict[str, Any]:
    """Return a JSON object, or the one that a text holds; empty if it is none."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    return found if isinstance(found, dict) else {}


def settings_path(output: Path) -> Path:
    """Return where the settings of a model stand: its name with `.session.json` in place of `.onnx`."""
    return output.with_name(f"{output.name.removesuffix('.onnx')}.session.json")


def content(report: Report) -> dict[str, Any]:
    """Return what the file beside the model says; empty if no setting won."""
    tuning = report.tuning
    if tuning is None or not (tuning.config or tuning.metadata):
        return {}
    return {
        "session_options": tuning.metadata,
        "session_config_entries": tuning.config,
        "races": [vars(race) for race in tuning.races],
        "onnxruntime": report.versions["onnxruntime"],
        "machine": report.machine,
    }


def notes_on(tuning: TuningRecord, output: Path | None) -> list[str]:
    """Say in sentences what was chosen and how the settings are used."""
    notes = [f"autotune: {_CHOSEN.get(tuning.chosen, tuning.chosen)}"]
    if tuning.chosen == "choices" and tuning.trials:
        notes[0] += f", {sum(each.taken for each in tuning.trials)} of {len(tuning.trials)} that were timed"
    if tuning.config:
        where = "" if output is None else f" (in {settings_path(output).name})"
        entries = ", ".join(f"{key}={value}" for key, value in tuning.config.items())
        notes.append(f"autotune: faster with session entries {entries}{where}")
    if tuning.metadata:
        options = ", ".join(f"{key}={value}" for key, value in tuning.metadata.items())
        notes.append(f"autotune: the model declares {options}, which takes ORT_LOAD_CONFIG_FROM_MODEL=1 to be read")
    return notes


def write_settings(output: Path, content: Mapping[str, Any]) -> None:
    """Write settings beside a model, whole or not at all; without any, remove those that an earlier run wrote.

    Raises `OutputError`.
    """
    path = settings_path(output)
    try:
        if content:
            text = json.dumps({"made by": "graphopt optimize --autotune", **content}, indent=2) + "\n"
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".graphopt-") as folder:
                staged = Path(folder, path.name)
                staged.write_text(text, encoding="utf-8")
                staged.replace(path)
        elif path.exists() and "made by" in _object(path.read_text(encoding="utf-8")):
            path.unlink()
    except OSError as error:
        raise OutputError(f"the settings cannot be written: {error.strerror}", where=str(path)) from error
