"""Read rendered lines of English: character accuracy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from .drawn import Array, DrawnTask, Feed
from .rendering import line, phrase
from .scores import character_accuracy, read_ctc
from .words import words

__all__ = ["Task"]


class Task(DrawnTask):
    """PaddleOCR's recognition: lines of 48 pixels in blue, green, red; the model carries its own characters."""

    @functools.cached_property
    def characters(self) -> list[str]:
        """Return the character of each class; 0 is the blank, and the last one a space that the list lacks."""
        model = onnx.load(self.folder / "model.onnx", load_external_data=False)
        (text,) = [each.value for each in model.metadata_props if each.key == "character"]
        return ["", *text.rstrip("\n").split("\n"), " "]

    def draw(self, random: np.random.Generator) -> tuple[Feed, str]:
        """Draw a line and its text."""
        text = phrase(words(self.data / "networkx.whl"), random)
        pixels = line(self.data, text, random)[:, :, ::-1].transpose(2, 0, 1)
        return {"x": np.ascontiguousarray(pixels[None], np.float32) / 127.5 - 1}, text

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the texts that were read."""
        return character_accuracy(
            [(read_ctc(outputs[0][0].argmax(-1), self.characters), truth) for outputs, truth in found]
        )
