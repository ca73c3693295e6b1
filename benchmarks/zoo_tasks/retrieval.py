"""Find the description that belongs to a summary: share of summaries whose own description is nearest."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .drawn import Array, Feed
from .words import pairs

__all__ = ["Task"]

_LONGEST = 96


class Task:
    """Sentence encoders of the BERT family; sample 2k is a summary, sample 2k + 1 its description.

    Calibration takes pairs from the end of the list, the verdict from its beginning.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder.parent / "data"

    def calibration(self, n: int = 32) -> Iterator[Feed]:
        """Yield `n` inputs to look at."""
        every = pairs(self.data / "networkx.whl")
        return (self.feed(every[-1 - at // 2][at % 2]) for at in range(min(n, len(every))))

    def evaluation(self, n: int = 64) -> Iterator[Feed]:
        """Yield `n` inputs for the verdict."""
        every = pairs(self.data / "networkx.whl")
        return (self.feed(every[at // 2][at % 2]) for at in range(min(n, len(every))))

    def score(self, outputs: Sequence[Sequence[Array]]) -> float:
        """Compare the mean vectors of the words by angle."""
        means = np.stack([each[0][0].mean(0) for each in outputs])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        asked, given = means[0::2], means[1::2]
        nearest = (asked[: len(given)] @ given.T).argmax(1)
        return float((nearest == np.arange(len(given))).mean())

    def feed(self, text: str) -> Feed:
        """Encode one text."""
        ids = np.array([self._encode(text)], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Return the number of each piece."""
        lines = (self.data / "bert_vocab.txt").read_text(encoding="utf-8").split("\n")
        return {piece: number for number, piece in enumerate(lines)}

    def _encode(self, text: str) -> list[int]:
        plain = (one for one in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(one) != "Mn")
        found = [number for word in re.findall(r"\w+|[^\w\s]", "".join(plain)) for number in self._pieces(word)]
        return [self.vocabulary["[CLS]"], *found[: _LONGEST - 2], self.vocabulary["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """Cut a word into the longest known pieces, left to right (WordPiece; Wu et al., 2016)."""
        found: list[int] = []
        rest = word
        while rest:
            head = "##" if found else ""
            size = next((size for size in range(len(rest), 0, -1) if head + rest[:size] in self.vocabulary), 0)
            if not size:
                return [self.vocabulary["[UNK]"]]
            found.append(self.vocabulary[head + rest[:size]])
            rest = rest[size:]
        return found
