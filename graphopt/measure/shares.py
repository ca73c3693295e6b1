"""Say what share of a model each provider runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphopt.graph.costs import Costs, feed_sizes, products
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node
from graphopt.measure.origins import NamedNodes
from graphopt.measure.records import Share
from graphopt.runtime.frames import Array

__all__ = ["mac_shares"]


def mac_shares(
    model: Model, feed: Mapping[str, Array], placement: Mapping[str, Sequence[str]] | None
) -> tuple[Share, ...]:
    """Return the shares of nodes and of multiply-accumulates on `feed`; none where the runtime tells no `placement`.

    It names nodes of the graph as the runtime optimized it. If several providers share a model, and it is not certain
    of every product who runs it, `macs` and `mac_share` of all are None. `macs` is None too where control flow decides.
    """
    if not placement:
        return ()
    total = sum(map(len, placement.values())) or 1
    macs = _macs(model, feed, placement)
    known = [count for count in macs.values() if count is not None]
    whole = sum(known) if len(known) == len(macs) else 0
    return tuple(
        Share(
            name,
            len(nodes),
            len(nodes) / total,
            macs[name],
            1.0 if len(placement) == 1 else (macs[name] or 0) / whole if whole else None,
        )
        for name, nodes in placement.items()
    )


def _macs(model: Model, feed: Mapping[str, Array], placement: Mapping[str, Sequence[str]]) -> dict[str, int | None]:
    facts = Facts(model)
    costs = Costs(facts, feed_sizes(model, facts, {name: array.shape for name, array in feed.items()}))
    unknown: dict[str, int | None] = dict.fromkeys(placement)
    owners = _owners(model, placement)
    found = dict.fromkeys(placement, 0)
    for node in products(model):
        count, owner = costs.macs_of(node), owners.get(node)
        if count is None or (count and owner is None) or node.graph is not model.graph:
            return unknown
        if owner is not None:
            found[owner] += count
    return dict(found)


def _owners(model: Model, placement: Mapping[str, Sequence[str]]) -> dict[Node, str]:
    """Return who runs the nodes of which it is certain."""
    if len(placement) == 1:
        only = next(iter(placement))
        return dict.fromkeys(products(model), only)
    known = NamedNodes(model)
    found: dict[Node, set[str]] = {}
    for provider, names in placement.items():
        for name in names:
            node = known.behind(name)
            if node is not None:
                found.setdefault(node, set()).add(provider)
    return {node: next(iter(owners)) for node, owners in found.items() if len(owners) == 1}
