"""Read the time of every node from onnxruntime's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime as ort

from graphopt.errors import GraphOptError
from graphopt.graph.load import load
from graphopt.graph.model import Node, Value
from graphopt.runtime.frames import Array
from graphopt.runtime.providers.interface import Kernel, Tensor
from graphopt.runtime.session import plain

__all__ = ["kernels_of", "profile"]

_WARM_UPS = 2
_SUFFIX = "_kernel_time"
_EXTERNAL = "session.optimized_model_external_initializers_file_name"
_DTYPES = {"float": "float32", "double": "float64"}

Event = Mapping[str, Any]


def profile(
    path: str, made: ort.SessionOptions, providers: Sequence[Any] | None, feed: Mapping[str, Array], runs: int
) -> list[Kernel]:
    """Run a model in a session of its own under the profiler, and return its kernels; all files are deleted.

    `made` and `providers` are those of the session that is timed.
    """
    with tempfile.TemporaryDirectory(prefix="graphopt-profile-", ignore_cleanup_errors=True) as folder:
        optimized = Path(folder) / "optimized.onnx"
        made.enable_profiling = True
        made.profile_file_prefix = str(Path(folder) / "events")
        try:
            session = _open(path, made, providers, optimized)
        finally:
            made.enable_profiling = False
            made.optimized_model_filepath = ""
        for _ in range(runs + _WARM_UPS):
            plain(session, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8", errors="replace"))
        return kernels_of(events, _nodes(optimized), skip=_WARM_UPS)


def _open(path: str, made: ort.SessionOptions, providers: Sequence[Any] | None, optimized: Path) -> Any:
    """Open a session that also writes the graph it runs, unless a provider compiled nodes of it."""
    made.optimized_model_filepath = str(optimized)
    made.add_session_config_entry(_EXTERNAL, "optimized.bin")
    try:
        return ort.InferenceSession(path, made, providers=providers, enable_fallback=0)
    except Exception:  # noqa: BLE001 - the runtime's exceptions have no common base; the second try raises again
        optimized.unlink(missing_ok=True)
        made.optimized_model_filepath = ""
        return ort.InferenceSession(path, made, providers=providers, enable_fallback=0)


def _nodes(path: Path) -> dict[tuple[str, str], Node]:
    """Return the nodes of the graph that runs, by name and operator; those of one name and operator are left out."""
    if not path.exists():
        return {}
    try:
        model = load(path)
    except GraphOptError:
        return {}
    found: dict[tuple[str, str], Node | None] = {}
    for scope in model.scopes():
        for node in scope:
            key = (node.name or "", node.op_type)
            found[key] = None if key in found else node
    return {key: node for key, node in found.items() if node is not None}


@dataclass
class _Row:
    """What was seen of one kernel: microseconds and calls of each run, and the event of the first call."""

    event: Event
    own_us: dict[int, int] = field(default_factory=dict)
    calls: int = 0
    is_alike: bool = True


def kernels_of(events: Sequence[Event], nodes: Mapping[tuple[str, str], Node], skip: int) -> list[Kernel]:
    """Return the kernels of a profile, in order of their first call; the first `skip` runs are left out.

    A kernel that runs others inside it, such as a loop, counts with its own time alone. What differs from call to call
    in its operands has none.
    """
    spans = sorted((each["ts"], each["ts"] + each["dur"]) for each in events if each.get("name") == "model_run")[skip:]
    rows: dict[tuple[str, str, str], _Row] = {}
    for at, span in enumerate(spans):
        for event, own in _own_times([each for each in events if _is_kernel(each, span)]):
            args = event["args"]
            row = rows.setdefault((event["name"], args["op_name"], args.get("node_index", "")), _Row(event))
            row.own_us[at] = row.own_us.get(at, 0) + own
            row.calls += 1
            row.is_alike = row.is_alike and all(args.get(key) == row.event["args"].get(key) for key in _SHAPES)
    return [_kernel(row, len(spans), nodes) for row in rows.values()]


_SHAPES = ("input_type_shape", "output_type_shape")


def _is_kernel(event: Event, span: tuple[int, int]) -> bool:
    is_node = event.get("cat") == "Node" and event["name"].endswith(_SUFFIX) and "op_name" in event.get("args", {})
    return is_node and span[0] <= event["ts"] <= span[1]


def _own_times(events: list[Event]) -> Iterator[tuple[Event, int]]:
    """Yield events with their time without that of the events inside them, of the same thread."""
    events = sorted(events, key=lambda event: (event["tid"], event["ts"], -event["dur"]))
    own = [int(event["dur"]) for event in events]
    open_at: list[int] = []
    for at, event in enumerate(events):
        while open_at and not _holds(events[open_at[-1]], event):
            open_at.pop()
        if open_at:
            own[open_at[-1]] -= int(event["dur"])
        if event["args"]["op_name"] in {"If", "Loop", "Scan"}:
            open_at.append(at)
    yield from sorted(zip(events, (max(0, each) for each in own), strict=True), key=lambda pair: pair[0]["ts"])


def _holds(outer: Event, inner: Event) -> bool:
    return bool(outer["tid"] == inner["tid"] and inner["ts"] < outer["ts"] + outer["dur"])


def _kernel(row: _Row, runs: int, nodes: Mapping[tuple[str, str], Node]) -> Kernel:
    args = row.event["args"]
    name, operator = row.event["name"].removesuffix(_SUFFIX), args["op_name"]
    node = nodes.get((name, operator))
    inputs = _tensors(args.get(_SHAPES[0], ())) if row.is_alike else ()
    outputs = _tensors(args.get(_SHAPES[1], ())) if row.is_alike else ()
    return Kernel(
        name=name,
        operator=operator,
        provider=args.get("provider", ""),
        seconds=statistics.median(row.own_us.get(at, 0) for at in range(runs)) * 1e-6,
        calls=row.calls / runs,
        inputs=inputs if node is None else _aligned(node, inputs),
        outputs=outputs if node is None else _spread([value.name for value in node.outputs], outputs),
        domain="" if node is None else node.domain,
        attributes={} if node is None else _attributes(node),
        values=() if node is None else tuple(value.name for value in node.outputs if value.name),
    )


def _attributes(node: Node) -> dict[str, Any]:
    """Return the attributes that are numbers, text or lists of integers."""
    found: dict[str, Any] = {}
    for name, attr in node.attributes.items():
        value = None if attr.is_ref() else attr.value
        is_list = isinstance(value, (tuple, list)) and all(isinstance(each, int) for each in value)
        if isinstance(value, (int, float, str)) or is_list:
            found[name] = value
    return found


def _tensors(listed: Sequence[Mapping[str, Sequence[int]]]) -> tuple[Tensor, ...]:
    return tuple((_DTYPES.get(kind, kind), tuple(shape)) for each in listed for kind, shape in each.items())


def _spread(names: Sequence[str | None], found: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """Put the tensors, which leave absent operands out, to their places; none if their number is another."""
    if len(found) != sum(map(bool, names)):
        return ()
    rest = iter(found)
    return tuple(next(rest) if name else None for name in names)


def _aligned(node: Node, found: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
    """Do the same for inputs, of which also weights are missing that the kernel packed in a form of its own."""
    rest, placed = list(found), list[Tensor | None]()
    for value in node.inputs:
        stored = None if value is None else _stored(value)
        if value is None:
            placed.append(None)
        elif stored is not None and (not rest or rest[0][1] != stored[1]):
            placed.append(stored)
        elif rest:
            placed.append(rest.pop(0))
        else:
            return ()
    return () if rest else tuple(placed)


def _stored(value: Value) -> Tensor | None:
    """Return type and shape of an initializer; no data is read."""
    tensor = value.const_value
    if tensor is None:
        return None
    kind = tensor.dtype.name.lower()
    return _DTYPES.get(kind, kind), tuple(dim for dim in tensor.shape if isinstance(dim, int))
