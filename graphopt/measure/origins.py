"""Say which nodes of a model the kernels of a runtime stand for, as far as that is known, and where those belong."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from graphopt.graph.costs import Call, Cost, Costs, Operand, cost
from graphopt.graph.model import Model, Node, Value
from graphopt.runtime.providers.interface import Kernel, Tensor

__all__ = ["NO_REGION", "OWN", "NamedNodes", "Origins", "name_nodes", "region_of"]

OWN = "(runtime's own)"
"""What stands for no node of the model, as far as is known."""
NO_REGION = "(no region)"
"""Where nodes belong whose names and metadata tell no module."""

_MOVERS = frozenset(
    {
        *("Cast", "Convert", "MemcpyFromHost", "MemcpyToHost", "Reorder", "ReorderInput", "ReorderOutput", "Reshape"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""What runtimes insert of their own to change layouts, types and places."""
_BLOCKED = "com.microsoft.nchwc"
_DECORATION = re.compile(r"^(?:fused |InsertedPrecisionFreeCast_)|(?:_token_\d+|_nchwc|/)$")
_FUSION = re.compile(r"(.+)/\w*(?:Fusion|Fused)\w*")
_BITS = re.compile(r"(?:u?int|float|bfloat|complex)(\d+)")


class Origins:
    """Find for the kernels of one profile the nodes of `model`, and what they take at the sizes of the feed.

    A kernel is traced by the names of its results, by its own name, and by what the runtime says of it; it also stands
    for the nodes before those that no other kernel stands for. What two kernels could stand for is given to none.
    """

    def __init__(self, model: Model, costs: Costs, kernels: Sequence[Kernel]) -> None:
        self.costs = costs
        self._known = NamedNodes(model)
        self._anchors = [self._find(kernel) for kernel in kernels]
        taken = {node for anchors in self._anchors for node in anchors}
        reached = [_before(anchors, taken) for anchors in self._anchors]
        claims = Counter(node for nodes in (*reached, *self._anchors) for node in nodes)
        self._doubtful = {node for node, count in claims.items() if count > 1}
        self.nodes = [
            [node for node in (*before, *anchors) if node not in self._doubtful]
            for before, anchors in zip(reached, self._anchors, strict=True)
        ]
        self._is_whole = [not self._doubtful.intersection(nodes) for nodes in reached]

    def names(self, at: int) -> tuple[str, ...]:
        """Return the names of the nodes that kernel `at` stands for; the last makes its result."""
        return tuple(node.name or "" for node in self.nodes[at])

    def region(self, at: int, depth: int) -> str:
        """Return where kernel `at` belongs: the region of its node with most products, else of its result."""
        nodes = self.nodes[at] or self._anchors[at]
        if not nodes:
            return OWN
        return region_of(max(reversed(nodes), key=lambda node: self.costs.macs_of(node) or 0), depth)

    def cost(self, at: int, kernel: Kernel) -> Cost | None:
        """Count one call of kernel `at` by its own operands, else by the nodes it stands for; None if neither tells.

        Where a runtime pads channels to blocks, the nodes tell first: what is padded is no work for the model.
        """
        fused = self._fused(self.nodes[at]) if self.nodes[at] and self._is_whole[at] else None
        if fused is not None and kernel.domain == _BLOCKED:
            return fused
        if kernel.outputs and all(map(_is_sized, (*kernel.inputs, *kernel.outputs))):
            inputs, outputs = (tuple(map(_operand, each)) for each in (kernel.inputs, kernel.outputs))
            found = cost(Call(kernel.operator, inputs, outputs, kernel.attributes, kernel.domain))
            if found is not None:
                return found
        return fused

    def _fused(self, nodes: list[Node]) -> Cost | None:
        """Count nodes that one kernel stands for: what passes between them is not moved."""
        each = [self.costs.of(node) for node in nodes]
        known = [one for one in each if one is not None]
        if len(known) != len(each):
            return None
        made = {value for node in nodes for value in node.outputs}
        read = {value for node in nodes for value in node.inputs if value is not None and value not in made}
        written = {value for value in made if value.name and _is_read_outside(value, nodes)}
        operands = [self.costs.operand(value) for value in (*read, *written)]
        nbytes = sum(operand.nbytes for operand in operands if operand is not None)
        if None in operands:
            return None
        # One by one, what picks a part of an operand is known not to read all of it.
        nbytes = min(nbytes, sum(one.nbytes for one in known))
        return Cost(sum(one.macs for one in known), sum(one.flops for one in known), nbytes)

    def _find(self, kernel: Kernel) -> list[Node]:
        """Return the nodes that the kernel's names tell."""
        known = self._known
        exact = known.by_name.get(kernel.name)
        told = [node for name in kernel.nodes if (node := known.named(name)) is not None]
        if exact is None and not told and kernel.operator in _MOVERS:
            return []
        results = [node for name in kernel.values if (node := known.by_value.get(name)) is not None]
        found = told or ([exact] if exact is not None else []) + results
        behind = None if found else known.behind(kernel.name)
        return list(dict.fromkeys(found if behind is None else [behind]))


class NamedNodes:
    """Find nodes of a model by their names and by those of their results; what is called like another is not found."""

    def __init__(self, model: Model) -> None:
        nodes: dict[str, Node | None] = {}
        values: dict[str, Node | None] = {}
        for scope in model.scopes():
            for node in scope:
                nodes[node.name or ""] = None if node.name in nodes else node
                for value in node.outputs:
                    values[value.name or ""] = None if value.name in values else node
        self.by_name = {name: node for name, node in nodes.items() if name and node is not None}
        self.by_value = {name: node for name, node in values.items() if name and node is not None}

    def named(self, name: str) -> Node | None:
        """Return the node of that name, or that makes the value of that name."""
        return self.by_name.get(name) or self.by_value.get(name)

    def behind(self, name: str) -> Node | None:
        """Return the node whose name, or that of its result, a runtime made `name` from."""
        return next((node for stem in _stems(name) if (node := self.named(stem)) is not None), None)


def _before(anchors: Sequence[Node], taken: set[Node]) -> list[Node]:
    """List what the anchors depend on, back to what other kernels stand for; constants are left out."""
    found: dict[Node, None] = {}
    todo = [value for node in anchors for value in node.inputs]
    while todo:
        value = todo.pop()
        node = None if value is None else value.producer()
        if node is None or node in taken or node in found or node.op_type == "Constant":
            continue
        found[node] = None
        todo.extend(node.inputs)
    return list(reversed(found))


def _stems(name: str) -> Iterator[str]:
    """Yield `name` without what runtimes put around the name of the node or value that they replace."""
    while True:
        yield name
        match = _FUSION.fullmatch(name)
        shorter = _DECORATION.sub("", name) if match is None else match.group(1)
        if shorter == name or not shorter:
            return
        name = shorter


def _is_read_outside(value: Value, nodes: Sequence[Node]) -> bool:
    return value.is_graph_output() or any(node not in nodes for node, _ in value.uses())


def _bits(kind: str) -> int | None:
    match = _BITS.match(kind)
    return int(match.group(1)) if match else {"bool": 8}.get(kind)


def _is_sized(tensor: Tensor | None) -> bool:
    return tensor is None or _bits(tensor[0]) is not None


def _operand(tensor: Tensor | None) -> Operand | None:
    return None if tensor is None else Operand(tuple(tensor[1]), _bits(tensor[0]) or 0)


def region_of(node: Node, depth: int) -> str:
    """Return the path of the module that `node` was exported from, cut to `depth` parts."""
    parts = _scopes(node.metadata_props) or [part for part in (node.name or "").split("/") if part][:-1]
    return "/".join(parts[:depth]) or NO_REGION


def _scopes(metadata: Mapping[str, str]) -> list[str]:
    """Read the path from the metadata of torch's exporter; the last part is the node's own."""
    names = _listed(metadata.get("pkg.torch.onnx.name_scopes", ""))
    if not names:
        names = [part.partition(":")[0] for part in metadata.get("namespace", "").split("/")]
    parts: list[str] = []
    outer = ""
    for name in filter(None, names[:-1]):
        inner = name.removeprefix(f"{outer}.") if outer else name
        # Members of a list are told by number alone.
        parts.append(f"{parts[-1]}.{inner}" if inner.isdigit() and parts else inner)
        outer = name
    return parts


def _listed(text: str) -> list[str]:
    try:
        found = ast.literal_eval(text) if text.startswith("[") else []
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    return [name for name in found if isinstance(name, str)]


def name_nodes(model: Model) -> int:
    """Name the nodes that have no name of their own after their first result; return how many were named."""
    nodes = [node for scope in model.scopes() for node in scope if node.op_type != "Constant"]
    used = Counter(node.name or "" for node in nodes)
    taken = set(used)
    count = 0
    for at, node in enumerate(nodes):
        if node.name and used[node.name] == 1:
            continue
        stem = next((value.name for value in node.outputs if value.name), None) or f"{node.op_type}#{at}"
        node.name = stem if stem not in taken else f"{stem}#{at}"
        taken.add(node.name)
        count += 1
    return count
