"""Name the pipelines that ship with graphopt, as text."""

from __future__ import annotations

__all__ = ["DEFAULT", "PRESETS"]

DEFAULT = "default"

PRESETS: dict[str, str] = {
    # lift-constants first: rules see constants as initializers only. Then one round of everything, until it settles:
    # folding exposes no-ops, removed no-ops expose chains and fusions, fused weights fold again. Duplicates are merged
    # inside the round, because two branches that become equal let their users merge as well. inline-if comes after
    # folding, which decides the conditions.
    "default": (
        "lift-constants, eliminate-dead, "
        "fixpoint(fold-constants, inline-if, simplify, fuse, deduplicate-initializers, eliminate-common, eliminate-dead)"
    ),
    # What removes work without touching how floats are rounded.
    "exact": (
        "lift-constants, eliminate-dead, "
        "fixpoint(fold-constants, inline-if, simplify, deduplicate-initializers, eliminate-common, eliminate-dead)"
    ),
}
