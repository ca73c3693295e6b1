"""Hear notes, pitch and speech in sounds that are made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .drawn import Array, DrawnTask, Feed

__all__ = ["FrameTask", "NoteTask", "PitchTask", "SpeechTask"]

_TWO_PI = 2 * np.pi


class NoteTask(DrawnTask):
    """Basic Pitch: two seconds of notes with overtones; F1 of the notes that sound, by frame, at 0.3."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, Array]:
        """Draw notes at 22,050 Hz, and for each of 172 frames which of 88 keys sounds."""
        time = np.arange(43844) / 22050
        sound, keys = np.zeros(time.size), np.zeros((172, 88), bool)
        for _ in range(int(random.integers(2, 7))):
            key, begin, long = int(random.integers(15, 69)), random.uniform(0, 1.5), random.uniform(0.25, 1.2)
            inside = (time >= begin) & (time < begin + long)
            since = time[inside] - begin
            swell = np.minimum(1, since / 0.01) * np.exp(-since * random.uniform(0.5, 2.5))
            sound[inside] += swell * np.minimum(1, (long - since) / 0.03) * _overtones(key, since, random)
            keys[int(begin * 86.13) : int((begin + long) * 86.13), key] = True
        sound = sound / np.abs(sound).max() * random.uniform(0.3, 0.9) + random.normal(size=time.size) * 0.002
        return {"serving_default_input_2:0": sound.astype(np.float32)[None, :, None]}, keys

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the frames."""
        pairs = [(outputs[1][0] > 0.3, truth) for outputs, truth in found]
        both = sum(int((heard & truth).sum()) for heard, truth in pairs)
        return 2 * both / max(1, sum(int(heard.sum() + truth.sum()) for heard, truth in pairs))


def _overtones(key: int, since: Array, random: np.random.Generator) -> Array:
    base = 440 * 2 ** ((key - 48) / 12)
    sound = np.zeros(since.size)
    for number in range(1, 9):
        share = random.uniform(0.5, 1) / number ** random.uniform(0.8, 1.6)
        if base * number < 10500:
            sound += share * np.sin(_TWO_PI * base * number * since + random.uniform(0, 6))
    return sound


class PitchTask(DrawnTask):
    """Swift-F0: two seconds of one gliding voice; share of frames within half a semitone."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, Array]:
        """Draw a glide with overtones at 16 kHz, and its frequency every 256 samples."""
        count = 32000
        steps = np.cumsum(random.normal(size=8)) * 2
        semitones = np.interp(np.arange(count), np.linspace(0, count, 8), steps) + random.uniform(36, 60)
        hertz = np.clip(440 * 2 ** ((semitones - 69) / 12), 60, 1800)
        phase = _TWO_PI * np.cumsum(hertz) / 16000
        sound = sum(random.uniform(0.4, 1) / number * np.sin(number * phase) for number in range(1, 6))
        sound = 0.2 * sound + random.normal(size=count) * random.uniform(0.001, 0.05)
        limits = {"fmin": np.float32(46.875), "fmax": np.float32(2093.75)}
        feed = {"audio": sound.astype(np.float32)[None], **{name: np.asarray(at) for name, at in limits.items()}}
        return feed, hertz[::256]

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Score the frames."""
        right = [
            np.abs(12 * np.log2(np.maximum(outputs[0][0], 1) / truth[: outputs[0].shape[1]])) < 0.5
            for outputs, truth in found
        ]
        return float(np.concatenate(right).mean())


class FrameTask(DrawnTask):
    """Silero VAD by single frames of 32 ms with the 4 ms before them: how surely a vowel ranks above noise.

    The state is that of the beginning, as a sample must not depend on the one before it.
    """

    def draw(self, random: np.random.Generator) -> tuple[Feed, Array]:
        """Draw a frame and whether it is a vowel."""
        speaks = bool(random.integers(2))
        sound = random.normal(size=576) * random.uniform(0.001, 0.01)
        if speaks:
            sound += _vowel(576, random) * random.uniform(0.1, 0.6)
        state = np.zeros((2, 1, 128), np.float32)
        return {"input": sound.astype(np.float32)[None], "state": state, "sr": np.asarray(16000)}, np.array([speaks])

    def judge(self, found: Sequence[tuple[Sequence[Array], Any]]) -> float:
        """Return the area below the curve of hits over false alarms (Hanley and McNeil, 1982)."""
        chances = np.concatenate([np.ravel(outputs[0]) for outputs, _ in found])
        truth = np.concatenate([truth for _, truth in found])
        speech, rest = chances[truth][:, None], chances[~truth][None]
        return float(np.mean((speech > rest) + 0.5 * (speech == rest)))


class SpeechTask(FrameTask):
    """Silero VAD over two seconds of babble in noise: how surely frames of speech rank above the others."""

    def draw(self, random: np.random.Generator) -> tuple[Feed, Array]:
        """Draw 62 frames of 512 samples, each with the 64 before it, and which are mostly speech."""
        count, at = 62 * 512, int(random.integers(3000, 9000))
        sound, speech = random.normal(size=count) * random.uniform(0.001, 0.01), np.zeros(count, bool)
        while at < count:
            for _ in range(int(random.integers(2, 5))):
                long = min(int(random.integers(1800, 3600)), count - at)
                if long < 100:
                    break
                sound[at : at + long] += _vowel(long, random) * np.hanning(long) ** 0.3 * random.uniform(0.1, 0.6)
                speech[at : at + long] = True
                at = min(count, at + long)
            at += int(random.integers(6000, 12000))
        heard = np.concatenate([np.zeros(64), sound]).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(heard, 576)[::512].copy()
        state = np.zeros((1, 1, 128), np.float32)
        return {"input": frames, "h": state, "c": state}, speech.reshape(-1, 512).mean(1) > 0.5


def _vowel(count: int, random: np.random.Generator) -> Array:
    """Filter a train of pulses by three formants (Klatt, Software for a cascade/parallel formant synthesizer, 1980)."""
    hertz = random.uniform(90, 240)
    pulses = np.diff(np.floor(np.arange(count + 1025) * hertz / 16000 + random.random()))
    formants = [(random.uniform(300, 800), 80), (random.uniform(900, 2200), 100), (random.uniform(2300, 3000), 150)]
    for middle, width in formants:
        pulses = np.fromiter(_resonate(pulses, middle, width), float)
    sound = pulses[-count:]
    return np.asarray(sound / max(1e-9, np.abs(sound).max()))


def _resonate(sound: Array, middle: float, width: float) -> Iterator[float]:
    decay = np.exp(-np.pi * width / 16000)
    first, second = 2 * decay * np.cos(_TWO_PI * middle / 16000), -(decay**2)
    one = two = 0.0
    for value in sound:
        one, two = (1 - first - second) * value + first * one + second * two, one
        yield one
