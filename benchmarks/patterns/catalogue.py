"""List the patterns that are measured: what is known to gain on their own, and what is known not to.

A figure here was measured by hand before there was a rule; `run.py` measures what the rules make of real exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["PATTERNS", "Pattern"]

SCRIPT, DYNAMO, RAW = "script", "dynamo", "dynamo-raw"
BOTH = (SCRIPT, DYNAMO)


@dataclass(frozen=True)
class Pattern:
    """A module of `modules.py`, by name, and what is expected of it on onnxruntime's CPU.

    `gain` is how often faster the rewrite alone was measured to be; 1 where there is nothing to gain. `keeps` counts
    operators that must be in the result, 0 of those that must not: what was measured to lose, or to gain nothing.
    """

    name: str
    family: str
    says: str
    gain: float
    ways: tuple[str, ...] = BOTH
    keeps: Mapping[str, int] = field(default_factory=dict)

    @property
    def bound(self) -> float:
        """The ratio at which four fifths of the time are saved that the gain saves."""
        return 1 - 0.8 * (1 - 1 / self.gain)


def _losers() -> tuple[Pattern, ...]:
    return tuple(
        Pattern(f"keep-{name}", "left alone", says, 1.0, keeps=keeps)
        for name, says, keeps in (
            ("qkv", "queries, keys and values are not merged into one product", {"MatMul": 3}),
            ("gate-up", "gate and up are not merged into one product", {"MatMul": 2}),
            ("sibling-convs", "convolutions side by side are not merged with a Split", {"Conv": 2, "Split": 0}),
            ("upconv", "ConvTranspose does not become Conv and DepthToSpace", {"ConvTranspose": 1, "DepthToSpace": 0}),
            (
                "attention-128",
                "attention without a cache is not one contrib operator",
                {"Attention": 0, "MultiHeadAttention": 0},
            ),
            ("gqa-prefill-128", "grouped queries of a whole prompt do not fold", {"GroupQueryAttention": 0}),
            ("patch-embedding-4", "a convolution of 4x4 by 4 is not a product", {"Conv": 1, "MatMul": 0}),
            ("linear-512-256-512", "two products stay where one would be more work", {"MatMul": 2}),
            ("resize-sizes", "a Resize stays one", {"Resize": 1}),
            ("mean-pool", "a mean over rows and columns stays one node", {}),
            ("group-norm", "group normalization gains nothing by another form", {}),
            ("vit-qkv", "unbound queries, keys and values stay three parts", {"MatMul": 3}),
            ("rms-norm", "where onnxruntime knows the form, nothing is gained", {}),
            ("silu", "SiLU stays in the form that onnxruntime fuses", {"Sigmoid": 1}),
        )
    )


PATTERNS = (
    Pattern("conv1d-depthwise-128", "1 Conv1D", "four depthwise Conv1D, 128 channels", 3.6),
    Pattern("conv1d-depthwise-256", "1 Conv1D", "four depthwise Conv1D, 256 channels", 5.1),
    Pattern("conv1d-dense-128", "1 Conv1D", "two dense Conv1D, 128 channels", 1.99),
    Pattern("conformer-conv", "1 Conv1D", "convolution module of a Conformer", 1.33),
    Pattern("dfl-conv-2100", "2 box distances", "Softmax and Conv as in YOLOv8, 2,100 anchors", 5.2),
    Pattern("dfl-conv-8400", "2 box distances", "the same, 8,400 anchors", 5.1),
    Pattern("dfl-sum-2100", "2 box distances", "Softmax, product and sum", 1.5),
    Pattern("dfl-linear-2100", "2 box distances", "Softmax of rows and product, as in GFL", 5.2),
    Pattern("spp", "3 pyramid pooling", "MaxPool of 5, 9 and 13", 3.04),
    Pattern("repvgg-64", "4 RepVGG", "three branches, 64 channels at 56x56", 1.79),
    Pattern("repvgg-128", "4 RepVGG", "three branches, 128 channels at 28x28", 1.28),
    Pattern("repvgg-256", "4 RepVGG", "three branches, 256 channels at 14x14", 1.34),
    Pattern("bert-2-first", "5 one position", "first token of 2 layers of BERT", 1.62),
    Pattern("bert-6-first", "5 one position", "first token of 6 layers of BERT", 1.13),
    Pattern("gpt-2-last", "5 one position", "last logits of 2 layers of GPT, 8k words", 1.61),
    Pattern("swin-window", "6 index maps", "roll and window partition, 56x56x96", 1.83),
    Pattern("swin-window-back", "6 index maps", "the same, and back", 1.83),
    Pattern("upsample-pointwise", "7 Resize", "nearest x2, then pointwise, 256 channels at 20x20", 2.48),
    Pattern("gqa-decode", "8 grouped queries", "one query, 1,024 in the past, 32 heads on 8", 2.67),
    Pattern("conv-pointwise", "9 chains", "Conv 3x3 and 1x1, 64, 128, 64 channels", 2.08),
    Pattern("linear-256-1024-256", "9 chains", "two products in a row", 4.17),
    Pattern("einsum-bhqd", "10 Einsum", "bhqd,bhkd->bhqk, 12 heads of 64, 128 tokens", 1.16),
    Pattern("einsum-bqhd", "10 Einsum", "bqhd,bkhd->bhqk, the same", 1.53),
    Pattern("gelu-tanh", "11 GELU", "GELU by tanh", 2.42),
    Pattern("gelu-tanh-spelled", "11 GELU", "the same, its formula spelled out", 2.42),
    Pattern("square", "12 arithmetic", "second power", 1.78),
    Pattern("divide", "12 arithmetic", "quotient by a constant", 1.85),
    Pattern("hard-swish", "12 arithmetic", "x * relu6(x + 3) / 6", 1.12),
    Pattern("batchnorm-raw", "13 CastLike", "eight narrow Conv, BatchNormalization and SiLU", 1.37, ways=(RAW,)),
    Pattern("rope-128", "14 RoPE", "rotary embedding, 128 tokens", 2.5),
    Pattern("rope-1", "14 RoPE", "rotary embedding, one token", 1.4),
    Pattern("focus", "15 Focus", "Focus and Conv 3x3 at 640x640", 1.14),
    Pattern("lora", "LoRA", "product with a correction of rank 8", 1.05),
    Pattern("one-hot-table", "one-hot", "one-hot and product with a table", 2.0),
    *(
        Pattern(f"winograd-{channels}-{size}", "16 Winograd", f"Conv 3x3, {channels} channels at {size}x{size}", gain)
        for channels, size, gain in (
            (256, 28, 1 / 0.51),
            (128, 28, 1 / 0.68),
            (256, 14, 1 / 0.77),
            (128, 56, 1 / 0.67),
            (512, 14, 1 / 0.60),
            (64, 112, 1.0),
        )
    ),
    *(
        Pattern(f"pack-{name}", "17 packing", says, 1 / ratio)
        for name, says, ratio in (
            ("8-8", "8 to 8, 3x39, 172x264", 0.55),
            ("8-1", "8 to 1, 5x5, 172x264", 0.31),
            ("1-1", "1 to 1, 1x256 by 2, 44,098", 0.09),
            ("32-1", "32 to 1, 7x3, 172x88", 0.68),
            ("64-1", "64 to 1, 3x3, 128x128", 0.72),
            ("16-2", "16 to 2, 3x3, 160x160", 0.64),
            ("64-3", "64 to 3, 3x3, 128x128", 0.76),
        )
    ),
    Pattern("keep-pack-12-12", "left alone", "12 to 12, 3x3, 96x96: packing loses", 1.0),
    *_losers(),
)
