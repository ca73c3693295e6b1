"""Save a model as onnxruntime has optimized it, for sessions that start fast."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from graphopt.errors import OutputError
from graphopt.graph.load import load
from graphopt.graph.model import Model
from graphopt.graph.save import save
from graphopt.pipeline.manifest import KEY as MANIFEST
from graphopt.pipeline.manifest import read_manifest
from graphopt.pipeline.proof import Proof
from graphopt.pipeline.report import VerifyRecord, versions
from graphopt.rewrite.steps import Steps
from graphopt.runtime.limits import Limits, free_bytes
from graphopt.runtime.machine import machine
from graphopt.runtime.process import RequestError, Worker, WorkerDied

__all__ = ["KEY", "save_offline"]

KEY = "graphopt.offline"
"""Metadata of a model that is for one version of onnxruntime and one kind of processor."""

_SECONDS = 600.0
_MAX_BYTES = (1 << 31) - (1 << 24)
"""Beyond it onnxruntime would need a second file."""


def save_offline(model: Path, output: Path, proof: Proof, steps: Steps, custom_ops: tuple[str, ...] = ()) -> str:
    """Save what onnxruntime makes of `model` for this processor; return a sentence about it.

    A file that ends in .ort has onnxruntime's own format. It is compared with the original as the result is; what
    differs, or what the runtime cannot save, is not written, which the sentence says.

    Raises `OutputError` if the file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".graphopt-", dir=output.parent) as folder:
            marked, saved = Path(folder) / "marked.onnx", Path(folder) / output.name
            save(_marked(model), marked)
            why = _save(marked, saved, custom_ops)
            record = VerifyRecord("different", why) if why else proof.compare_saved(steps, model, saved)
            if record.status == "different":
                return f"not saved as optimized for this machine: {record.detail}"
            size = saved.stat().st_size
            saved.replace(output)
    except OSError as error:
        raise OutputError("the optimized form cannot be written", where=f"{output}: {error.strerror}") from error
    checked = "verified" if record.status == "same" else f"not verified ({record.detail or record.status})"
    made = f"onnxruntime {versions()['onnxruntime']} on {machine()['processor']}"
    return f"{output.name} ({size / 1e6:.1f} MB) is for {made} alone; {checked}"


def _marked(path: Path) -> Model:
    model = load(path)
    found = machine()
    made = {"onnxruntime": versions()["onnxruntime"]}
    made |= {key: found[key] for key in ("system", "processor", "vector extensions")}
    # What the runtime saves has another content than the model that the manifest is about.
    manifest = read_manifest(model) or {}
    model.ir.metadata_props.pop(MANIFEST, None)
    made |= {"model": str(manifest["sha256"])} if "sha256" in manifest else {}
    model.ir.metadata_props[KEY] = json.dumps(made, sort_keys=True)
    return model


def _save(model: Path, output: Path, custom_ops: tuple[str, ...]) -> str:
    """Let the runtime save its form; return why it cannot."""
    if model.stat().st_size > _MAX_BYTES or len(list(model.parent.iterdir())) > 1:
        return "the model is larger than one file can hold"
    request = {
        "path": str(model),
        "output": str(output),
        "custom_ops": [str(Path(each).resolve()) for each in custom_ops],
    }
    with Worker() as worker:
        try:
            worker.request("save_optimized", request, (), Limits(memory_bytes=free_bytes(), wall_seconds=_SECONDS))
        except (RequestError, WorkerDied) as error:
            return f"onnxruntime cannot save it: {error.what.splitlines()[0][:300]}"
    return ""
