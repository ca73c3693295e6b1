"""Train gradient-boosted trees on scikit-learn's own data and export them: `boosted_trees.py RESULT`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    """Write the model; every third row is left out of training, for the verdict."""
    data = load_breast_cancer()
    kept = np.arange(len(data.target)) % 3 != 0
    trees = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0)
    model = make_pipeline(StandardScaler(), trees).fit(data.data[kept], data.target[kept])
    sample = data.data[:1].astype(np.float32)
    exported = to_onnx(model, sample, options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    Path(sys.argv[1]).write_bytes(exported.SerializeToString(deterministic=True))


main()
