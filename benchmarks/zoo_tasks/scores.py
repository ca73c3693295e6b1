"""Score what models found: text by edits, boxes by overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .drawn import Array, Box

__all__ = ["average_precision", "box_f1", "character_accuracy", "overlaps", "read_ctc"]


def read_ctc(classes: Array, table: Sequence[str]) -> str:
    """Read the classes of time steps: equal neighbours are one, class 0 is a blank (Graves et al., 2006)."""
    kept = [one for at, one in enumerate(classes) if one and (at == 0 or one != classes[at - 1])]
    return "".join(table[one] for one in kept)


def character_accuracy(found: Sequence[tuple[str, str]]) -> float:
    """Return 1 less the edits from each text to what is true, over the length of what is true."""
    wrong = sum(min(_edits(text, truth), len(truth)) for text, truth in found)
    return 1 - wrong / max(1, sum(len(truth) for _, truth in found))


def _edits(one: str, other: str) -> int:
    """Count insertions, deletions and replacements between two texts (Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def overlaps(found: Array, truth: Array) -> Array:
    """Return the intersection over the union of each box [n, 4] with each true one [m, 4]; shape [n, m]."""
    a, b = found[:, None], truth[None]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    both = sides.prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b)]
    return np.asarray(both / np.maximum(areas[0] + areas[1] - both, 1e-6))


def _matched(found: Array, truth: Array, threshold: float) -> Array:
    """Say for each found box, best first, whether it meets a true one that no earlier one met."""
    free, hits = np.ones(len(truth), bool), np.zeros(len(found), bool)
    table = overlaps(found, truth)
    for at in range(len(found)):
        candidates = np.where(free, table[at], -1.0)
        if len(candidates) and candidates.max() >= threshold:
            free[candidates.argmax()] = False
            hits[at] = True
    return hits


def box_f1(found: Sequence[tuple[Array, Sequence[Box]]], threshold: float = 0.5) -> float:
    """Return the F1 of boxes [n, 4] that overlap a true one by at least `threshold`."""
    hits = sum(int(_matched(boxes, _boxes(truth), threshold).sum()) for boxes, truth in found)
    return 2 * hits / max(1, sum(len(boxes) + len(truth) for boxes, truth in found))


def average_precision(found: Sequence[tuple[Array, Array, Sequence[Box]]], threshold: float = 0.5) -> float:
    """Return the area below precision over recall for boxes [n, 4] with scores [n] and true boxes, one class."""
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for boxes, weights, truth in found:
        order = np.argsort(-weights, kind="stable")
        scores.append(weights[order])
        hits.append(_matched(boxes[order], _boxes(truth), threshold))
    right = np.concatenate(hits)[np.argsort(-np.concatenate(scores), kind="stable")]
    caught = np.cumsum(right)
    precision = caught / np.arange(1, len(right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((highest * right).sum() / max(1, sum(len(truth) for _, _, truth in found)))


def _boxes(truth: Sequence[Box]) -> Array:
    return np.asarray(truth, np.float32).reshape(-1, 4)
