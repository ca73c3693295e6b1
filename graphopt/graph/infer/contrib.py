"""Infer the commonest operators of com.microsoft, the domain of onnxruntime's own fusions."""

from __future__ import annotations

from graphopt.graph.infer.dtypes import DtypeRule, always, first, of_input
from graphopt.graph.infer.elementwise import broadcast_shapes, same_shape
from graphopt.graph.infer.matrix import matmul_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shape, Shapes, Site
from graphopt.graph.infer.window import conv_shape
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]

_KEEPING = [
    "BiasAdd",
    "BiasGelu",
    "BiasSoftmax",
    "FastGelu",
    "Gelu",
    "QuickGelu",
    "QLinearLeakyRelu",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "RotaryEmbedding",
]


def _turned(shape: Shape, *, swap: int, batch: int) -> Shape:
    """Move a batch axis of a FusedMatMul's operand and swap its matrix axes, as its attributes demand."""
    if len(shape) < 2 or (batch and len(shape) < 3):
        return shape
    if batch:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if swap else shape


def _fused_matmul(site: Site) -> Shapes:
    a = _turned(site.known_shape(0), swap=site.integer("transA", 0), batch=site.integer("transBatchA", 0))
    b = _turned(site.known_shape(1), swap=site.integer("transB", 0), batch=site.integer("transBatchB", 0))
    return matmul_shape(a, b)


def _matmul(site: Site) -> Shapes:
    return matmul_shape(site.known_shape(0), site.known_shape(1))


def _matmul_n_bits(site: Site) -> Shapes:
    return (*site.known_shape(0)[:-1], site.integer("N", -1))


def _fused_conv(site: Site) -> Shapes:
    return conv_shape(site, site.known_shape(0), site.known_shape(1))


def _fused_gemm(site: Site) -> Shapes:
    a, b = site.known_shape(0), site.known_shape(1)
    return (a[1] if site.integer("transA", 0) else a[0], b[0] if site.integer("transB", 0) else b[1])


def _qlinear_binary(site: Site) -> Shapes:
    return broadcast_shapes(site.known_shape(0), site.known_shape(3))


def _skip_norm(site: Site) -> Shapes:
    x = site.known_shape(0)
    return [x, None, None, x]


def _skip_norm_dtype(site: Site) -> Dtypes:
    return [site.dtype(0), None, None, site.dtype(0)]


_FIRST_OF_FEW: DtypeRule = of_input(0, 1)

OPERATORS: dict[tuple[str, str], Operator] = {
    **{("com.microsoft", name): Operator(first, same_shape) for name in _KEEPING},
    ("com.microsoft", "FusedMatMul"): Operator(_FIRST_OF_FEW, _fused_matmul),
    ("com.microsoft", "TransposeMatMul"): Operator(_FIRST_OF_FEW, _fused_matmul),
    ("com.microsoft", "MatMulNBits"): Operator(first, _matmul_n_bits),
    ("com.microsoft", "MatMulIntegerToFloat"): Operator(of_input(2, 3), _matmul),
    ("com.microsoft", "DynamicQuantizeMatMul"): Operator(always(DataType.FLOAT), _matmul),
    ("com.microsoft", "FusedConv"): Operator(_FIRST_OF_FEW, _fused_conv),
    ("com.microsoft", "FusedGemm"): Operator(_FIRST_OF_FEW, _fused_gemm),
    ("com.microsoft", "QLinearAdd"): Operator(first, _qlinear_binary),
    ("com.microsoft", "QLinearMul"): Operator(first, _qlinear_binary),
    ("com.microsoft", "SkipLayerNormalization"): Operator(_skip_norm_dtype, _skip_norm),
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): Operator(_skip_norm_dtype, _skip_norm),
}
