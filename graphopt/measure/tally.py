"""Add up what kernels take, by kernel, operator and region, and hold it against the roof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from graphopt.graph.costs import Cost
from graphopt.measure.origins import OWN, Origins
from graphopt.measure.profile_records import Change, Group, KernelTime, ModelProfile, Work
from graphopt.measure.roofline import Peaks, roof
from graphopt.runtime.providers.interface import Kernel

__all__ = ["Part", "changes", "groups", "is_int8", "remarks"]

_CONTROL = frozenset({"If", "Loop", "Scan"})
_DEVICES = ("CUDA", "Tensorrt", "NvTensorRT", "WebGpu")
_PRODUCTS = ("conv", "gemm", "matmul", "attention", "lstm", "fullyconnected")


class Part:
    """Hold a kernel, what it takes in one inference, and where it belongs."""

    def __init__(self, kernel: Kernel, origins: Origins, at: int, depth: int) -> None:
        self.kernel = kernel
        self.region = origins.region(at, depth)
        self.nodes = origins.names(at)
        once = origins.cost(at, kernel)
        self.cost = None if once is None else _scaled(once, kernel.calls)

    def record(self, total: float, peaks: Peaks) -> KernelTime:
        """Return it as a record; `total` is the seconds of all kernels."""
        kernel = self.kernel
        implementation = str(kernel.attributes.get("implementation", ""))
        work = _work([self], total, peaks)
        return KernelTime(kernel.name, kernel.operator, kernel.provider, self.region, self.nodes, work, implementation)


def is_int8(kernel: Kernel) -> bool:
    """Tell whether a kernel multiplies 8-bit integers."""
    name = kernel.operator.lower()
    if not any(word in name for word in _PRODUCTS):
        return False
    if str(kernel.attributes.get("implementation", "")).lower().endswith(("i8", "u8")):
        return True
    kinds = [each[0] for each in kernel.inputs if each is not None]
    return name.startswith("dynamicquantize") or kinds[:1] in (["int8"], ["uint8"])


def _scaled(cost: Cost, calls: float) -> Cost:
    return Cost(round(cost.macs * calls), round(cost.flops * calls), round(cost.nbytes * calls))


def _work(parts: Sequence[Part], total: float, peaks: Peaks) -> Work:
    """Add up; of work of which some is not known, only the time is told."""
    seconds = sum(part.kernel.seconds for part in parts)
    calls = sum(part.kernel.calls for part in parts)
    costs = [part.cost for part in parts if part.cost is not None]
    if len(costs) != len(parts):
        return Work(seconds * 1e3, seconds / total, calls)
    cost = sum(costs, Cost(0, 0, 0))
    roofs = [roof(each, peaks, int8=is_int8(part.kernel)) for each, part in zip(costs, parts, strict=True)]
    known = [each for each in roofs if each is not None]
    least = sum(each.seconds for each in known)
    compute = sum(each.seconds for each in known if each.bound == "compute")
    return Work(
        ms=seconds * 1e3,
        share=seconds / total,
        calls=calls,
        macs=cost.macs,
        flops=cost.flops,
        bytes=cost.nbytes,
        gflops=_rate(cost.flops * 1e-9, seconds),
        gbs=_rate(cost.nbytes * 1e-9, seconds),
        roof_ms=least * 1e3 if known else None,
        roof_share=_rate(least, seconds),
        bound="" if not known else "compute" if compute * 2 >= least else "memory",
    )


def _rate(amount: float, seconds: float) -> float | None:
    """Divide; None where nothing is done, or the clock is too coarse to see it."""
    return amount / seconds if amount and seconds else None


def groups(parts: Iterable[Part], key: Callable[[Part], str], total: float, peaks: Peaks) -> tuple[Group, ...]:
    """Add up the parts of one key; the slowest first."""
    rows: dict[str, list[Part]] = {}
    for part in parts:
        rows.setdefault(key(part), []).append(part)
    found = [Group(name, len(row), _work(row, total, peaks)) for name, row in rows.items()]
    return tuple(sorted(found, key=lambda group: -group.work.ms))


def changes(
    models: Sequence[ModelProfile], groups_of: Callable[[ModelProfile], tuple[Group, ...]]
) -> tuple[Change, ...]:
    """Compare the groups of two models; what got faster first. Of one model there are none."""
    if len(models) != 2:
        return ()
    before, after = ({group.name: group for group in groups_of(model)} for model in models)
    rows = []
    for name in {**before, **after}:
        a, b = before.get(name), after.get(name)
        times = (0.0 if a is None else a.work.ms, 0.0 if b is None else b.work.ms)
        counts = (0 if a is None else a.kernels, 0 if b is None else b.kernels)
        rows.append(Change(name, *times, times[1] - times[0], *counts))
    return tuple(sorted(rows, key=lambda row: row.delta_ms))


def remarks(parts: Sequence[Part], total: float, latency: float) -> list[str]:
    """Say what is not known, and what the times hold that is not the model's."""
    own = sum(part.kernel.seconds for part in parts if part.region == OWN)
    dark = sum(part.kernel.seconds for part in parts if part.cost is None)
    found = []
    if own:
        found.append(
            f"{own / total:.1%} of the time is in kernels that stand for no node of the model, as far as known"
        )
    if dark:
        found.append(f"{dark / total:.1%} of the time is in kernels whose operations are not known")
    if any(part.kernel.provider.startswith(_DEVICES) for part in parts):
        found.append("the times of nodes on a device are those of issuing their work")
    if total > latency:
        where = ", most of all in If, Loop and Scan," if any(part.kernel.operator in _CONTROL for part in parts) else ""
        found.append(f"the profiler's own work{where} or noise shows: whole inferences take less time without it")
    return found
