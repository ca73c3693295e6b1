"""Infer quantization."""

from __future__ import annotations

from graphopt.graph.infer.dtypes import always, attribute_dtype
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]


def _quantized(site: Site) -> Dtypes:
    if site.has(2):
        return site.dtype(2)
    return attribute_dtype(site, "output_dtype", DataType.UINT8)


def _dequantized(site: Site) -> Dtypes:
    # Opset 10 has float32 scales only; later the scale decides, unless an attribute does (opset 23).
    return attribute_dtype(site, "output_dtype", site.dtype(1))


def _dynamic(site: Site) -> Shapes:
    return [site.shape(0), (), ()]


_QUANTIZE = Operator(_quantized, same_shape)
_DEQUANTIZE = Operator(_dequantized, same_shape)

OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "QuantizeLinear"): _QUANTIZE,
    ("", "DequantizeLinear"): _DEQUANTIZE,
    ("com.microsoft", "QuantizeLinear"): _QUANTIZE,
    ("com.microsoft", "DequantizeLinear"): _DEQUANTIZE,
    ("", "DynamicQuantizeLinear"): Operator(always(DataType.UINT8, DataType.FLOAT, DataType.UINT8), _dynamic),
}
