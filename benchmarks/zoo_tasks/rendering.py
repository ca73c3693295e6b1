"""Render text: lines, pages and captchas, with what is written and where."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .drawn import Array, Box

__all__ = ["captcha", "line", "page", "phrase"]

Colour = tuple[int, int, int]

FACES = ("Vera.ttf", "VeraBd.ttf", "VeraIt.ttf", "VeraBI.ttf")
# Without letters and digits that look alike.
GLYPHS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@functools.cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def _any_font(data: Path, random: np.random.Generator, size: int) -> ImageFont.FreeTypeFont:
    return _font(data / str(random.choice(FACES)), size)


def _colour(random: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = random.integers(low, high, 3).tolist()
    return red, green, blue


def phrase(words: Sequence[str], random: np.random.Generator, low: int = 2, high: int = 4) -> str:
    """Return `low` to `high` words, at times in capitals or with a number."""
    text = " ".join(words[at] for at in random.integers(0, len(words), random.integers(low, high + 1)))
    kind = random.random()
    text = text.upper() if kind < 0.2 else text.title() if kind < 0.5 else text
    return f"{text} {random.integers(0, 100_000)}" if random.random() < 0.35 else text


def line(data: Path, text: str, random: np.random.Generator, height: int = 48) -> Array:
    """Render one line of text; uint8 [height, width, 3]."""
    font = _any_font(data, random, int(height * random.uniform(0.5, 0.68)))
    left, top, right, bottom = font.getbbox(text)
    back, ink = _colour(random, 150, 256), _colour(random, 0, 90)
    if random.random() < 0.25:
        back, ink = ink, back
    image = Image.new("RGB", (int(right - left) + height // 2, height), back)
    at = ((image.width - (right - left)) / 2 - left, (height - (bottom - top)) / 2 - top)
    ImageDraw.Draw(image).text(at, text, font=font, fill=ink)
    image = image.rotate(random.uniform(-1, 1), Image.Resampling.BILINEAR, fillcolor=back)
    return _worn(image, random, 1.1, 20)


def page(
    data: Path, words: Sequence[str], random: np.random.Generator, width: int = 512, height: int = 384
) -> tuple[Array, list[Box]]:
    """Render lines of text on coloured paper; uint8 [height, width, 3] and the box of each line."""
    image = Image.new("RGB", (width, height), _colour(random, 170, 256))
    canvas, boxes = ImageDraw.Draw(image), list[Box]()
    y = float(random.integers(8, 30))
    while y < height - 48:
        font = _any_font(data, random, int(random.integers(15, 30)))
        text, x = phrase(words, random, 2, 4), float(random.integers(8, 50))
        box = canvas.textbbox((x, y), text, font=font)
        if box[2] < width - 8 and box[3] < height - 8:
            canvas.text((x, y), text, font=font, fill=_colour(random, 0, 100))
            boxes.append(box)
        y = box[3] + float(random.integers(12, 30))
    return _worn(image, random, 0.6, 10), boxes


def captcha(data: Path, random: np.random.Generator, width: int, height: int) -> tuple[Array, list[tuple[str, Box]]]:
    """Render turned letters on a coarse pattern, left to right; uint8 [height, width, 3] and letters with boxes."""
    coarse = random.integers(120, 256, (6, 8, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    letters: list[tuple[str, Box]] = []
    count = int(random.integers(3, 6))
    for place in range(count):
        glyph = GLYPHS[int(random.integers(len(GLYPHS)))]
        mask = _glyph(_any_font(data, random, int(random.integers(34, 50))), glyph, random.uniform(-25, 25))
        free = max(1, width // count - mask.width)
        x = place * (width // count) + int(random.integers(free))
        y = int(random.integers(max(1, height - mask.height)))
        image.paste(_colour(random, 0, 110), (x, y), mask)
        letters.append((glyph, (x, y, x + mask.width, y + mask.height)))
    return np.asarray(image), letters


def _glyph(font: ImageFont.FreeTypeFont, glyph: str, angle: float) -> Image.Image:
    mask = Image.new("L", (96, 96))
    ImageDraw.Draw(mask).text((20, 12), glyph, font=font, fill=255)
    mask = mask.rotate(angle, Image.Resampling.BICUBIC)
    return mask.crop(mask.getbbox())


def _worn(image: Image.Image, random: np.random.Generator, blur: float, noise: float) -> Array:
    """Blur an image and add noise, each up to a bound."""
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, blur)))
    pixels: Array = np.asarray(image, np.float32)
    noisy = pixels + random.normal(size=pixels.shape) * random.uniform(0, noise)
    return np.clip(noisy, 0, 255).astype(np.uint8)
