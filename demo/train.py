"""Trains two Ridge models on scikit-learn's bundled diabetes data.

Usage: train.py OUT_DIR. Writes OUT_DIR/a/diabetes.pkl and OUT_DIR/b/diabetes.pkl,
a request with five patients, and what each model answers to it.
"""

import json
import pathlib
import sys

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
data, progression = load_diabetes(return_X_y=True)
patients = data[:5]
(out / "request.json").write_text(json.dumps({"data": patients.tolist()}))

for name, alpha in (("a", 0.4), ("b", 0.1)):
    model = Ridge(alpha=alpha).fit(data, progression)
    (out / name).mkdir(parents=True, exist_ok=True)
    joblib.dump(model, out / name / "diabetes.pkl")
    (out / name / "expected.json").write_text(json.dumps(model.predict(patients).tolist()))
