"""Import onnx_ir without paying for sympy.

onnx_ir needs sympy only to calculate with symbolic dimensions, which graphopt does itself (`graphopt.graph.dims`),
and importing it costs more than everything else together. Both are loaded on their first use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader
from types import ModuleType

__all__ = ["ir"]


class _Deferred(MetaPathFinder):
    names = frozenset({"sympy", "onnx_ir._symbolic_shapes"})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


_deferred = _Deferred()
sys.meta_path.insert(0, _deferred)
try:
    import onnx_ir as ir
finally:
    sys.meta_path.remove(_deferred)
