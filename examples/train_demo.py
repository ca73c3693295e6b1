"""Train the digits network that `graphopt demo` optimizes, and export it with an exporter's usual habits.

    pip install torch scikit-learn onnx
    python examples/train_demo.py graphopt/demo

Writes `digits.onnx` and `digits.npz` (300 held-out samples) into the named folder. The network never saw these samples.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 7
EPOCHS = 40
HELD_OUT = 300


class Standardize(nn.Module):
    """Bring pixels [n, 8, 8, 1] of 0 to 16 to zero mean and unit variance, as [n, 1, 8, 8]."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([mean / 16]))
        self.register_buffer("deviation", torch.tensor([deviation / 16]))

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels / 16.0
        x = (x - self.mean) / self.deviation
        return x.permute(0, 3, 1, 2)


class LayerScale(nn.Module):
    """Scale each channel, written channels-last as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x.permute(0, 2, 3, 1) * self.gamma
        return y.permute(0, 3, 1, 2)


class SqueezeExcite(nn.Module):
    """Weigh channels by their means, written as in most implementations of Hu et al. (2018), expand_as included."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.narrow = nn.Linear(channels, channels // 4, bias=False)
        self.widen = nn.Linear(channels // 4, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.size()
        y = self.pool(x).view(n, c)
        y = torch.sigmoid(self.widen(functional.relu(self.narrow(y))))
        return x * y.view(n, c, 1, 1).expand_as(x)


class Block(nn.Module):
    """Convolve, normalize, weigh, rectify; add the input where the widths agree."""

    def __init__(self, inputs: int, outputs: int, drop: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.scale = LayerScale(outputs)
        self.weigh = SqueezeExcite(outputs)
        self.drop = nn.Dropout2d(drop)
        self.strength = 1.0
        self.residual = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.weigh(self.scale(self.norm(self.conv(x))))
        if self.residual:
            y = x + self.drop(y) * self.strength
        return functional.relu(y)


class Digits(nn.Module):
    """Tell digits apart: pixels [n, 8, 8, 1] to logits [n, 10]."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.standardize = Standardize(mean, deviation)
        self.stem = Block(1, 32, 0.0)
        self.widen = Block(32, 48, 0.0)
        self.body = Block(48, 48, 0.1)
        self.head = nn.Linear(48 * 16, 64)
        self.norm = nn.BatchNorm1d(64)
        self.drop = nn.Dropout(0.3)
        self.classify = nn.Linear(64, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem(self.standardize(pixels))
        x = self.body(self.widen(x))
        x = functional.max_pool2d(x, 2)
        x = x.reshape(x.size(0), -1)
        x = self.drop(functional.relu(self.norm(self.head(x))))
        return self.classify(x)


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Split scikit-learn's digits: training pixels and labels, then the held-out ones."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.astype(np.uint8).reshape(-1, 8, 8, 1)
    train, held, train_labels, held_labels = train_test_split(
        pixels, labels.astype(np.int64), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    return train, train_labels, held, held_labels


def shift(batch: Tensor) -> Tensor:
    """Move each picture by at most one pixel each way."""
    padded = functional.pad(batch, (0, 0, 1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(batch), 2))
    return torch.stack([p[r : r + 8, c : c + 8] for p, (r, c) in zip(padded, offsets.tolist(), strict=True)])


def train(pixels: Tensor, labels: Tensor) -> Digits:
    """Fit the network with Adam on a one-cycle schedule."""
    model = Digits(float(pixels.mean()), float(pixels.std()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    batches = -(-len(pixels) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=EPOCHS * batches)
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen in torch.randperm(len(pixels)).split(64):
            loss = functional.cross_entropy(model(shift(pixels[chosen])), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}: loss {total / len(pixels):.4f}", flush=True)
    return model.eval()


def export(model: Digits, path: Path) -> None:
    """Write the model as deployments often do: traced, nothing folded, the batch left open."""
    torch.onnx.export(
        model,
        (torch.zeros(2, 8, 8, 1),),
        str(path),
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )


def main(folder: Path) -> None:
    """Train, say the held-out accuracy, and write both files."""
    torch.manual_seed(SEED)
    pixels, labels, held, held_labels = load()
    model = train(torch.from_numpy(pixels).float(), torch.from_numpy(labels))
    with torch.no_grad():
        found = model(torch.from_numpy(held).float()).argmax(1).numpy()
    print(f"parameters {sum(p.numel() for p in model.parameters())}, held-out {(found == held_labels).mean():.4f}")
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder / "digits.onnx")
    np.savez_compressed(folder / "digits.npz", pixels=held, labels=held_labels.astype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
