"""Export Keras models by tf2onnx and by Keras itself: `keras_exports.py FOLDER [--modules A,B]`.

Writes FOLDER/MODULE/dynamic/WAY.onnx; what exists is left alone. It runs in the environment that
requirements-keras.txt lists, without graphopt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

__all__ = ["MODULES", "WAYS"]

WIDTH, HEADS, TOKENS, VOCABULARY = 128, 4, 16, 500


def _mobilenet() -> Any:
    return keras.applications.MobileNetV3Small(input_shape=(96, 96, 3), weights=None, include_preprocessing=False)


def _efficientnet() -> Any:
    return keras.applications.EfficientNetB0(input_shape=(96, 96, 3), weights=None)


def _transformer() -> Any:
    """Return an encoder of two layers, put together from Keras' own attention."""
    tokens = keras.Input((TOKENS,), dtype="int32")
    places = keras.ops.arange(TOKENS)
    x = keras.layers.Embedding(VOCABULARY, WIDTH)(tokens) + keras.layers.Embedding(TOKENS, WIDTH)(places)
    for _ in range(2):
        attended = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
        x = keras.layers.LayerNormalization(epsilon=1e-5)(x + attended)
        # The exact form comes as Erfc, which tf2onnx does not know.
        hidden = keras.ops.gelu(keras.layers.Dense(4 * WIDTH)(x), approximate=True)
        x = keras.layers.LayerNormalization(epsilon=1e-5)(x + keras.layers.Dense(WIDTH)(hidden))
    return keras.Model(tokens, keras.layers.Dense(VOCABULARY)(x))


MODULES: dict[str, Callable[[], Any]] = {
    "keras_mobilenet_v3": _mobilenet,
    "keras_efficientnet": _efficientnet,
    "keras_transformer": _transformer,
}
"""What builds each model, by its name."""


def _by_tf2onnx(model: Any, path: Path) -> None:
    signature = [tf.TensorSpec(one.shape, one.dtype, name=one.name) for one in model.inputs]
    function = tf.function(lambda *inputs: model(*inputs, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, signature, opset=18, output_path=str(path))


def _by_keras(model: Any, path: Path) -> None:
    model(*(np.zeros([1, *one.shape[1:]], one.dtype) for one in model.inputs))
    model.export(str(path), format="onnx", opset_version=18, verbose=False)


WAYS: dict[str, Callable[[Any, Path], None]] = {"tf2onnx-18": _by_tf2onnx, "keras-18": _by_keras}
"""What exports, by its name."""


def build(name: str, seed: int = 0) -> Any:
    """Return a model with the same weights each time; none of them is left all zeros or ones."""
    keras.utils.set_random_seed(seed)
    model = MODULES[name]()
    draw = np.random.default_rng(seed)
    weights = model.get_weights()
    model.set_weights([one + 0.2 * draw.random(one.shape, np.float32) * (np.ptp(one) == 0) for one in weights])
    return model


def main() -> int:
    """Export all that is missing; exit 1 if an exporter failed."""
    parser = argparse.ArgumentParser(description="Export Keras models.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--modules", default=",".join(MODULES), help="names, with commas (default: all)")
    given = parser.parse_args()
    failed = False
    for name in given.modules.split(","):
        for way, export in WAYS.items():
            path = given.folder / name / "dynamic" / f"{way}.onnx"
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                export(build(name), path)
            except Exception as error:  # noqa: BLE001 - an exporter raises whatever its parts raise
                print(f"{name} {way}: {str(error).strip().splitlines()[-1][:300]}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
