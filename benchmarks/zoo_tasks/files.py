"""Tell the type of files: accuracy against their extension."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from .drawn import Array, DrawnTask, Feed

__all__ = ["Task"]

_ENDS, _BLOCK, _PADDING = 1024, 4096, 256
# Without html, as those of Django are templates.
_LABELS = {"py": "python", "js": "javascript", "css": "css", "svg": "svg", "po": "po"}
_PER_LABEL = 24


class Task(DrawnTask):
    """Magika: the first and last 1,024 bytes of a file, without the white space around it."""

    @functools.cached_property
    def classes(self) -> list[str]:
        """Return the name of each class."""
        config = json.loads((self.data / "magika_config.json").read_text(encoding="utf-8"))
        return [str(name) for name in config["target_labels_space"]]

    @functools.cached_property
    def files(self) -> list[tuple[bytes, str]]:
        """Return files of a package with their label, at most 24 of each."""
        found: dict[str, list[bytes]] = {label: [] for label in _LABELS.values()}
        with zipfile.ZipFile(self.data / "django.whl") as archive:
            for info in sorted(archive.infolist(), key=lambda info: (info.CRC, info.filename)):
                label = _LABELS.get(info.filename.rpartition(".")[2])
                if label and info.file_size > 200 and len(found[label]) < _PER_LABEL:
                    found[label].append(archive.read(info))
        return [(content, label) for label, contents in found.items() for content in contents]

    def draw(self, random: np.random.Generator) -> tuple[Feed, int]:
        """Draw one of the files and its class."""
        content, label = self.files[int(random.integers(len(self.files)))]
        first = content[:_BLOCK].lstrip()[:_ENDS]
        last = content[-_BLOCK:].rstrip()[-_ENDS:]
        values = np.full(2 * _ENDS, _PADDING, np.int32)
        values[: len(first)] = list(first)
        values[2 * _ENDS - len(last) :] = list(last)
        return {"bytes": values[None]}, self.classes.index(label)

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the classes."""
        return float(np.mean([outputs[0][0].argmax() == truth for outputs, truth in found]))
