"""The library of passes that ships with graphopt: `PASSES` is what the entry point registers.

One module holds one pass or one family of rules and lists them in its own `PASSES`. Where several rules fit a node, the
earlier one is tried first.
"""

from __future__ import annotations

from importlib import import_module

__all__ = ["PASSES"]

FAMILIES: tuple[str, ...] = (
    "upgrade_opset",
    "lift_constants",
    "trim_operands",
    "trim_attributes",
    "widen_float16",
    "fold_constants",
    "decide_if",
    "inline_if",
    "inline_functions",
    "eliminate_dead",
    "eliminate_common",
    "deduplicate_initializers",
    "identity",
    "casts",
    "reshapes",
    "transposes",
    "views",
    "slices",
    "concats",
    "gathers",
    "picks",
    "sequences",
    "trivial_axes",
    "sizes",
    "expands",
    "pads",
    "noop_arithmetic",
    "noop_logic",
    "comparisons",
    "norms",
    "norm_scales",
    "norm_spellings",
    "gelus",
    "activations",
    "batchnorm",
    "affine",
    "conv_pad",
    "pool_pad",
    "matmul_add",
    "gemm",
    "clips",
    "strength",
    "constants",
    "join_slices",
    "hoist_selections",
    "einsum",
    "reductions",
    "resizes",
    "pools",
    "global_pools",
    "parallel_convs",
    "chains",
    "weighted_sums",
    "expectations",
    "index_maps",
    "focus",
    "low_rank",
    "one_hot",
    "conv1d",
    "winograd",
    "pack_conv",
    "residual_norm",
    "attention",
    "rotary",
    "grouped_query",
    "narrow_precision",
    "narrow_storage",
)

PASSES = tuple(entry for family in FAMILIES for entry in import_module(f"graphopt_passes.{family}").PASSES)
