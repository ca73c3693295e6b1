"""Leave a short manifest in the model: which pipeline made it, and the hash of its content."""

from __future__ import annotations

import hashlib
import json

from graphopt.graph.model import Model
from graphopt.graph.save import to_bytes
from graphopt.pipeline.report import versions

__all__ = ["KEY", "content_hash", "read_manifest", "write_manifest"]

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


def write_manifest(model: Model, pipeline: str) -> None:
    """Write version, pipeline and content hash into the model's metadata; no machine, time or path."""
    model.ir.metadata_props.pop(KEY, None)
    manifest = {"graphopt": versions()["graphopt"], "pipeline": pipeline, "sha256": content_hash(model)}
    model.ir.metadata_props[KEY] = json.dumps(manifest, sort_keys=True)


def read_manifest(model: Model) -> dict[str, str] | None:
    """Return the manifest, or None if there is none or it is not ours to read."""
    try:
        found = json.loads(model.ir.metadata_props.get(KEY, "null"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
