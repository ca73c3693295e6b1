"""Leave a short manifest in the model: which pipeline made it, and the hash of its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from graphopt.graph.constants import stored_bytes
from graphopt.graph.model import Model
from graphopt.graph.save import to_bytes
from graphopt.graph.stage import Staged, stage
from graphopt.pipeline.report import versions

__all__ = ["KEY", "content_hash", "original_weights", "read_manifest", "stage_signed"]

KEY = "graphopt.manifest"


def content_hash(model: Model) -> str:
    """Return the SHA-256 of the serialised model without its manifest; external data counts by its place and length."""
    props = model.ir.metadata_props
    kept = props.pop(KEY, None)
    try:
        return hashlib.sha256(to_bytes(model)).hexdigest()
    finally:
        if kept is not None:
            props[KEY] = kept


def stage_signed(model: Model, path: Path, pipeline: str, weights: int) -> Staged:
    """Stage `model` with a manifest of version, pipeline and content hash; no machine, time or path.

    `weights` is the number of bytes that its growth counts from. The manifest is also put into the metadata of `model`.

    Raises `OutputError` if it cannot be written.
    """
    props = model.ir.metadata_props
    props.pop(KEY, None)
    manifest: dict[str, str | int] = {"graphopt": versions()["graphopt"], "pipeline": pipeline, "weights": weights}

    def sign(content: bytes) -> tuple[str, str]:
        manifest["sha256"] = hashlib.sha256(content).hexdigest()
        return KEY, json.dumps(manifest, sort_keys=True)

    staged = stage(model, path, sign)
    props[KEY] = json.dumps(manifest, sort_keys=True)
    return staged


def original_weights(model: Model) -> int:
    """Return the bytes of weights that growth counts from: the model's, or the fewer that an earlier run began with.

    A model that has grown as far as it may does not grow further in a second run.
    """
    stored = stored_bytes(model)
    weights = (read_manifest(model) or {}).get("weights")
    return min(stored, weights) if isinstance(weights, int) and weights >= 0 else stored


def read_manifest(model: Model) -> dict[str, str | int] | None:
    """Return the manifest, or None if there is none or it is not ours to read."""
    try:
        found = json.loads(model.ir.metadata_props.get(KEY, "null"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
