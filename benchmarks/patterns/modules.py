"""Build the module of each pattern, as its users write it, with seeded random weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MODULES", "Made"]


@dataclass(frozen=True)
class Made:
    """A module in inference mode and what it is exported with."""

    module: nn.Module
    inputs: tuple[Tensor, ...]


class Lambda(nn.Module):
    """A function of tensors, with the modules that it calls."""

    def __init__(self, function: Callable[..., Tensor | tuple[Tensor, ...]], *parts: nn.Module) -> None:
        """Keep the function and, so that they are exported, the modules."""
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call the function on the modules and the inputs."""
        return self.function(*self.parts, *inputs)


def depthwise_chain(channels: int) -> Made:
    """Make four depthwise Conv1D in a row."""
    layers = [
        layer
        for _ in range(4)
        for layer in (nn.Conv1d(channels, channels, 9, padding=4, groups=channels), nn.BatchNorm1d(channels), nn.SiLU())
    ]
    return Made(nn.Sequential(*layers), (torch.randn(1, channels, 1000),))


def dense_chain(channels: int) -> Made:
    """Make two dense Conv1D in a row."""
    layers = [layer for _ in range(2) for layer in (nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU())]
    return Made(nn.Sequential(*layers), (torch.randn(1, channels, 1000),))


class Conformer(nn.Module):
    """The convolution module of a Conformer."""

    def __init__(self, width: int) -> None:
        """Make it."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Conv1d(width, 2 * width, 1)
        self.depthwise = nn.Conv1d(width, width, 31, padding=15, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.project = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Take and return [batch, time, width]."""
        y = functional.glu(self.expand(self.norm(x).transpose(1, 2)), dim=1)
        y = self.project(functional.silu(self.batch_norm(self.depthwise(y))))
        return x + y.transpose(1, 2)


class Distances(nn.Module):
    """The expected distances of boxes to anchors, each from a distribution over `bins`."""

    def __init__(self, form: str, bins: int = 16) -> None:
        """Make one of three forms: `conv`, `sum` or `linear`."""
        super().__init__()
        self.form, self.bins = form, bins
        self.register_buffer("project", torch.arange(bins, dtype=torch.float32))
        self.conv = nn.Conv2d(bins, 1, 1, bias=False)
        self.conv.weight.data[:] = torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Take [batch, 4 * bins, anchors]."""
        batch, _, anchors = x.shape
        split = x.view(batch, 4, self.bins, anchors)
        if self.form == "conv":
            return self.conv(split.transpose(2, 1).softmax(1)).view(batch, 4, anchors)
        if self.form == "sum":
            return (split.softmax(2) * self.project.view(1, 1, -1, 1)).sum(2)
        return split.permute(0, 3, 1, 2).softmax(3).matmul(self.project)


def distances(form: str, anchors: int) -> Made:
    """Make the head of box regression."""
    return Made(Distances(form), (torch.randn(1, 64, anchors),))


def pyramid() -> Made:
    """Make spatial pyramid pooling."""
    pools = [nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13)]
    return Made(Lambda(lambda a, b, c, x: torch.cat([x, a(x), b(x), c(x)], 1), *pools), (torch.randn(1, 256, 20, 20),))


class RepVgg(nn.Module):
    """A block as it is trained: 3x3, 1x1 and identity, each normalized."""

    def __init__(self, channels: int) -> None:
        """Make it."""
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(channels, channels, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Add the branches."""
        wide, narrow, same = self.norms
        return functional.relu(wide(self.wide(x)) + narrow(self.narrow(x)) + same(x))


def repvgg(channels: int, size: int) -> Made:
    """Make two blocks."""
    return Made(nn.Sequential(RepVgg(channels), RepVgg(channels)), (torch.randn(1, channels, size, size),))


class Layer(nn.Module):
    """A layer of a transformer: normalized before, or as BERT behind."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        """Make it."""
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def attend(self, x: Tensor) -> Tensor:
        """Mix positions."""
        batch, tokens, width = x.shape
        q, k, v = (f(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(2, 3) / math.sqrt(width // self.heads)
        if self.causal:
            scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), -1e9)
        return self.o((scores.softmax(3) @ v).transpose(1, 2).reshape(batch, tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """Take and return [batch, tokens, width]."""
        if self.causal:
            x = x + self.attend(self.first(x))
            return x + self.down(functional.gelu(self.up(self.second(x))))
        x = self.first(x + self.attend(x))
        return self.second(x + self.down(functional.gelu(self.up(x))))


def first_token(layers: int) -> Made:
    """Make the pooler of a BERT."""
    parts = [*(Layer(384, 6, causal=False) for _ in range(layers)), nn.Linear(384, 384)]

    def run(*given: nn.Module | Tensor) -> Tensor:
        *blocks, pooler, x = given
        for block in blocks:
            x = block(x)
        return torch.tanh(pooler(x[:, 0]))

    return Made(Lambda(run, *parts), (torch.randn(1, 128, 384),))


def last_logits() -> Made:
    """Make the next word of a GPT."""
    parts = [*(Layer(384, 6, causal=True) for _ in range(2)), nn.LayerNorm(384), nn.Linear(384, 8192, bias=False)]

    def run(*given: nn.Module | Tensor) -> Tensor:
        *blocks, x = given
        for block in blocks:
            x = block(x)
        return x[:, -1]

    return Made(Lambda(run, *parts), (torch.randn(1, 64, 384),))


class Windows(nn.Module):
    """The shifted windows of a Swin transformer."""

    def __init__(self, *, back: bool) -> None:
        """Go into windows of 7 x 7, or there and back."""
        super().__init__()
        self.back = back

    def forward(self, x: Tensor) -> Tensor:
        """Take [batch, rows, columns, channels]."""
        batch, rows, columns, channels = x.shape
        y = torch.roll(x, (-3, -3), (1, 2)).view(batch, rows // 7, 7, columns // 7, 7, channels)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 49, channels)
        if not self.back:
            return y
        y = torch.tanh(y).view(batch, rows // 7, columns // 7, 7, 7, channels)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, channels)
        return torch.roll(y, (3, 3), (1, 2))


def upsampled() -> Made:
    """Make a pointwise convolution behind the nearest neighbour."""
    return Made(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(256, 256, 1)), (torch.randn(1, 256, 20, 20),))


def grouped(queries: int, past: int) -> Made:
    """Make attention of 32 heads of queries on 8 of keys, which are repeated."""

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, heads, length, size = k.shape
        k, v = (
            x[:, :, None].expand(batch, heads, 4, length, size).reshape(batch, 4 * heads, length, size) for x in (k, v)
        )
        return (q @ k.transpose(2, 3) / math.sqrt(size)).softmax(3) @ v

    return Made(Lambda(run), (torch.randn(1, 32, queries, 64), *(torch.randn(1, 8, past, 64) for _ in range(2))))


def einsum(equation: str, *shape: int) -> Made:
    """Make a product of two operands of one shape."""
    return Made(Lambda(lambda a, b: torch.einsum(equation, a, b)), (torch.randn(shape), torch.randn(shape)))


def elementwise(function: Callable[[Tensor], Tensor]) -> Made:
    """Make a function of each element."""
    return Made(Lambda(function), (torch.randn(1, 128, 3072),))


def spelled_gelu(x: Tensor) -> Tensor:
    """Return GELU by tanh, as GPT-2 spells it."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def normalized() -> Made:
    """Make convolutions without a bias, each normalized, as narrow as those of small detectors."""
    layers = [
        layer
        for size in (1, 3) * 4
        for layer in (nn.Conv2d(32, 32, size, padding=size // 2, bias=False), nn.BatchNorm2d(32), nn.SiLU())
    ]
    return Made(nn.Sequential(*layers), (torch.randn(1, 32, 80, 80),))


def rotary(tokens: int) -> Made:
    """Make the rotary embedding of queries, as in Llama."""

    def run(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * cos[:, None] + turned * sin[:, None]

    angles = torch.outer(torch.arange(tokens), 10000 ** (-torch.arange(32) / 32))
    full = torch.cat([angles, angles], -1)[None]
    return Made(Lambda(run), (torch.randn(1, 12, tokens, 64), full.cos(), full.sin()))


class Focus(nn.Module):
    """The entry of YOLOv5 and YOLOX."""

    def __init__(self) -> None:
        """Make it."""
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(12, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        """Deal the pixels out to channels."""
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.conv(torch.cat(parts, 1))


def lora() -> Made:
    """Make a linear layer with a correction of rank 8."""
    parts = (nn.Linear(768, 768), nn.Linear(768, 8, bias=False), nn.Linear(8, 768, bias=False))
    return Made(Lambda(lambda w, a, b, x: w(x) + b(a(x)) * 2.0, *parts), (torch.randn(1, 128, 768),))


class Table(nn.Module):
    """A table that is read by one-hot vectors."""

    def __init__(self) -> None:
        """Make it."""
        super().__init__()
        self.rows = nn.Parameter(torch.randn(1000, 64))

    def forward(self, places: Tensor) -> Tensor:
        """Take integers."""
        return functional.one_hot(places, 1000).float() @ self.rows


def convolution(channels: tuple[int, int], kernel: tuple[int, int], size: tuple[int, int], step: int = 1) -> Made:
    """Make one convolution; its padding keeps the size, but with a step there is none."""
    pads = (0, 0) if step > 1 else (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(*channels, kernel, (1, step), pads)
    return Made(nn.Sequential(conv, nn.ReLU()), (torch.randn(1, channels[0], *size),))


def linears(*widths: int, side_by_side: bool = False) -> Made:
    """Make linear layers in a row, or on one value."""
    if side_by_side:
        layers = [nn.Linear(widths[0], width) for width in widths[1:]]
        return Made(
            Lambda(lambda *given: tuple(f(given[-1]) for f in given[:-1]), *layers), (torch.randn(1, 128, widths[0]),)
        )
    layers = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths)]
    return Made(nn.Sequential(*layers), (torch.randn(1, 128, widths[0]),))


def gated() -> Made:
    """Make the gated feed-forward of a Llama."""
    parts = [nn.Linear(512, 1376, bias=False) for _ in range(2)]
    return Made(Lambda(lambda g, u, x: functional.silu(g(x)) * u(x), *parts), (torch.randn(1, 128, 512),))


def siblings() -> Made:
    """Make two convolutions of one value."""
    parts = [nn.Conv2d(64, 64, 1) for _ in range(2)]
    return Made(Lambda(lambda a, b, x: (a(x), b(x)), *parts), (torch.randn(1, 64, 56, 56),))


def unbound() -> Made:
    """Make queries, keys and values of a ViT, from one product."""

    def run(f: nn.Module, x: Tensor) -> Tensor:
        q, k, v = f(x).reshape(1, 197, 3, 3, 64).permute(2, 0, 3, 1, 4).unbind(0)
        return (q @ k.transpose(2, 3) / 8.0).softmax(3) @ v

    return Made(Lambda(run, nn.Linear(192, 576)), (torch.randn(1, 197, 192),))


class RmsNorm(nn.Module):
    """The normalization of a Llama."""

    def __init__(self, width: int) -> None:
        """Make it."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        """Scale rows to their root mean square."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def plain(module: nn.Module, *shape: int) -> Made:
    """Make a module of torch itself."""
    return Made(module, (torch.randn(shape),))


MODULES: dict[str, Callable[[], Made]] = {
    "conv1d-depthwise-128": lambda: depthwise_chain(128),
    "conv1d-depthwise-256": lambda: depthwise_chain(256),
    "conv1d-dense-128": lambda: dense_chain(128),
    "conformer-conv": lambda: plain(Conformer(256), 1, 200, 256),
    "dfl-conv-2100": lambda: distances("conv", 2100),
    "dfl-conv-8400": lambda: distances("conv", 8400),
    "dfl-sum-2100": lambda: distances("sum", 2100),
    "dfl-linear-2100": lambda: distances("linear", 2100),
    "spp": pyramid,
    "repvgg-64": lambda: repvgg(64, 56),
    "repvgg-128": lambda: repvgg(128, 28),
    "repvgg-256": lambda: repvgg(256, 14),
    "bert-2-first": lambda: first_token(2),
    "bert-6-first": lambda: first_token(6),
    "gpt-2-last": last_logits,
    "swin-window": lambda: plain(Windows(back=False), 1, 56, 56, 96),
    "swin-window-back": lambda: plain(Windows(back=True), 1, 56, 56, 96),
    "upsample-pointwise": upsampled,
    "gqa-decode": lambda: grouped(1, 1024),
    "conv-pointwise": lambda: plain(
        nn.Sequential(nn.Conv2d(64, 128, 3, padding=1), nn.Conv2d(128, 64, 1)), 1, 64, 56, 56
    ),
    "linear-256-1024-256": lambda: linears(256, 1024, 256),
    "einsum-bhqd": lambda: einsum("bhqd,bhkd->bhqk", 1, 12, 128, 64),
    "einsum-bqhd": lambda: einsum("bqhd,bkhd->bhqk", 1, 128, 12, 64),
    "gelu-tanh": lambda: elementwise(lambda x: functional.gelu(x, approximate="tanh")),
    "gelu-tanh-spelled": lambda: elementwise(spelled_gelu),
    "square": lambda: elementwise(lambda x: torch.pow(x, 2.0)),
    "divide": lambda: elementwise(lambda x: x / 1.7),
    "hard-swish": lambda: elementwise(lambda x: x * functional.relu6(x + 3) / 6),
    "batchnorm-raw": normalized,
    "rope-128": lambda: rotary(128),
    "rope-1": lambda: rotary(1),
    "focus": lambda: plain(Focus(), 1, 3, 640, 640),
    "lora": lora,
    "one-hot-table": lambda: Made(Table(), (torch.randint(0, 1000, (1, 128)),)),
    "winograd-256-28": lambda: convolution((256, 256), (3, 3), (28, 28)),
    "winograd-128-28": lambda: convolution((128, 128), (3, 3), (28, 28)),
    "winograd-256-14": lambda: convolution((256, 256), (3, 3), (14, 14)),
    "winograd-128-56": lambda: convolution((128, 128), (3, 3), (56, 56)),
    "winograd-512-14": lambda: convolution((512, 512), (3, 3), (14, 14)),
    "pack-8-8": lambda: convolution((8, 8), (3, 39), (172, 264)),
    "pack-8-1": lambda: convolution((8, 1), (5, 5), (172, 264)),
    "pack-1-1": lambda: convolution((1, 1), (1, 256), (1, 44098), 2),
    "pack-32-1": lambda: convolution((32, 1), (7, 3), (172, 88)),
    "pack-64-1": lambda: convolution((64, 1), (3, 3), (128, 128)),
    "pack-16-2": lambda: convolution((16, 2), (3, 3), (160, 160)),
    "pack-64-3": lambda: convolution((64, 3), (3, 3), (128, 128)),
    "keep-pack-12-12": lambda: convolution((12, 12), (3, 3), (96, 96)),
    "winograd-64-112": lambda: convolution((64, 64), (3, 3), (112, 112)),
    "keep-qkv": lambda: linears(384, 384, 384, 384, side_by_side=True),
    "keep-gate-up": gated,
    "keep-sibling-convs": siblings,
    "keep-upconv": lambda: plain(nn.ConvTranspose2d(64, 32, 2, 2), 1, 64, 56, 56),
    "keep-attention-128": lambda: plain(Layer(384, 6, causal=False), 1, 128, 384),
    "keep-gqa-prefill-128": lambda: grouped(128, 128),
    "keep-patch-embedding-4": lambda: plain(nn.Conv2d(3, 96, 4, 4), 1, 3, 224, 224),
    "keep-linear-512-256-512": lambda: linears(512, 256, 512),
    "keep-resize-sizes": lambda: plain(nn.Upsample(size=(56, 56), mode="bilinear"), 1, 64, 28, 28),
    "keep-mean-pool": lambda: Made(Lambda(lambda x: x.mean((2, 3))), (torch.randn(1, 512, 14, 14),)),
    "keep-group-norm": lambda: plain(nn.GroupNorm(8, 64), 1, 64, 56, 56),
    "keep-vit-qkv": unbound,
    "keep-rms-norm": lambda: plain(RmsNorm(512), 1, 128, 512),
    "keep-silu": lambda: plain(nn.SiLU(), 1, 64, 56, 56),
}
