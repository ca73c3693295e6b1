"""Describe what a measurement depends on, so that results of different environments are not compared unawares."""

from __future__ import annotations

import hashlib
import json

from graphopt.pipeline.report import versions
from graphopt.runtime.machine import machine

__all__ = ["environment", "environment_hash"]


def environment() -> dict[str, str]:
    """Return machine and software, by name; "unavailable" where something cannot be read."""
    return {**machine(), **versions()}


def environment_hash(found: dict[str, str]) -> str:
    """Return a short hash of an environment; equal ones may be compared."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
