"""Name the pipelines that ship with graphopt, as text."""

from __future__ import annotations

__all__ = ["PRESETS"]

PRESETS: dict[str, str] = {
    # lift-constants first: rules see constants as initializers only; then widen-float16, so that they see one type.
    # Then rounds of everything until it settles: folding exposes no-ops, removed no-ops expose chains and fusions,
    # fused weights fold again. inline-if comes after folding, which decides the conditions. recognize finds functions
    # spelled out in simpler operators, as the exporter left them: simplify has removed what stands between their parts,
    # and fuse, which would move parts into their neighbours, comes after it. Duplicates are merged inside the round,
    # because two branches that become equal let their users merge as well. steer comes last: it brings what is
    # otherwise final into forms that a target has fast kernels for, and that the rules before it would not recognize;
    # explore does so at the places that a choice by measurement names, and nowhere else; store-narrow undoes what
    # widen-float16 did to the weights, once no rule needs to read them.
    "canonical": (
        "lift-constants, trim-operands, widen-float16, eliminate-dead, "
        "fixpoint(fold-constants, inline-if, simplify, join-slices, recognize, hoist-selections, fuse, "
        "trim-attributes, deduplicate-initializers, eliminate-common, eliminate-dead, decide-if)"
    ),
    "final": (
        "fixpoint(steer, explore, simplify, trim-attributes, deduplicate-initializers, "
        "eliminate-common, eliminate-dead), store-narrow, forget-sizes"
    ),
    "default": "canonical, final",
}
