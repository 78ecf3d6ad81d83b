"""The entry script of scikit-learn models that come without one: {"data": [[...], ...]} in, {"predict": [...]} out.

"method" may ask for predict or predict_proba; left out, classifiers that can answer with predict_proba. Rows are lists of numbers, or
objects by the names of the columns when the model knows them. The model is the one file in the model's folder that is a pickle.
"""

import os

import joblib
import numpy as np
from azureml_inference_server_http.api.aml_response import AMLResponse
from fairlead_worker.script import LoadError
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

METHODS = ("predict", "predict_proba")
ENDINGS = (".pkl", ".joblib", ".pickle", ".sav")


class BadData(Exception):
    """The caller's data is no input of the model."""


def model_file():
    """The model's file: the one that is named, or the only pickle in the folder."""
    root = os.environ.get("AZUREML_MODEL_DIR", "")
    if os.path.isfile(root):
        return root
    found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    pickles = sorted(path for path in found if path.lower().endswith(ENDINGS))
    if not pickles and len(found) == 1:
        pickles = found
    if len(pickles) != 1:
        there = ", ".join(os.path.relpath(path, root) for path in pickles) or "none"
        text = "a scikit-learn model without an entry script must have one file that ends with %s; there is %s"
        raise LoadError(text % (" or ".join(ENDINGS), there), reason="ModelError")
    return pickles[0]


def load(path):
    try:
        return joblib.load(path)
    except ModuleNotFoundError:
        raise
    except Exception as e:
        cause = "%s: %s" % (type(e).__name__, e)
        text = "%s can't be loaded as a scikit-learn model: %s" % (os.path.basename(path), cause)
        raise LoadError(text.replace("\n", " "), reason="ModelError")


def feature_count(model):
    """How many columns the model takes; models of old releases say it by their coefficients only. None when it can't be known."""
    count = getattr(model, "n_features_in_", None)
    if count is None and hasattr(model, "coef_"):
        count = np.asarray(model.coef_).shape[-1]
    if count is None and hasattr(model, "steps"):
        count = feature_count(model.steps[0][1])
    return count


def method_of(model, asked):
    if asked is None:
        return "predict_proba" if hasattr(model, "predict_proba") else "predict"
    if asked not in METHODS:
        raise BadData("method is %r, it must be predict or predict_proba" % (asked,))
    if not hasattr(model, asked):
        raise BadData("method is %s, which the model, a %s, does not have" % (asked, type(model).__name__))
    return asked


def table(data, names, count):
    """The rows as the model takes them."""
    if not isinstance(data, list):
        raise BadData("data must be a list of rows")
    if names is not None and data and isinstance(data[0], dict):
        missing = sorted({n for row in data if isinstance(row, dict) for n in names if n not in row})
        if missing or not all(isinstance(row, dict) for row in data):
            raise BadData("each row of data must be an object with the columns %s" % ", ".join(missing or names))
        data = [[row[name] for name in names] for row in data]
    for at, row in enumerate(data):
        if not isinstance(row, list):
            raise BadData("row %d of data is no list" % at)
        if count is not None and len(row) != count:
            raise BadData("row %d of data has %d values, the model takes %d" % (at, len(row), count))
    if names is not None:
        import pandas

        return pandas.DataFrame(data, columns=list(names))
    try:
        return np.array(data, dtype=float).reshape(len(data), -1)
    except (TypeError, ValueError) as e:
        raise BadData("data has values that are no numbers: %s" % e)


def column_names(model):
    """The columns' names, when the model was fitted to a frame and frames are here."""
    names = getattr(model, "feature_names_in_", None)
    try:
        import pandas  # noqa: F401
    except ImportError:
        return None
    return names


def answer(data, method):
    try:
        method = method_of(MODEL, method)
        if data == []:
            return {method: []}
        rows = table(data, NAMES, COUNT)
    except BadData as e:
        return AMLResponse({"message": str(e)}, 400, json_str=True)
    return {method: np.asarray(getattr(MODEL, method)(rows)).tolist()}


def sample_output(rows):
    """What the model answers to rows, to describe it by; an array of numbers when it can't answer them."""
    try:
        return np.asarray(getattr(MODEL, method_of(MODEL, None))(table(rows.tolist(), NAMES, COUNT)))
    except Exception:
        return np.zeros(len(rows))


def init():
    """The model is loaded with the script, which needs it to describe itself."""


MODEL = load(model_file())
NAMES = column_names(MODEL)
COUNT = feature_count(MODEL)
if not hasattr(MODEL, "predict"):
    raise LoadError("the file has a %s, which can't predict" % type(MODEL).__name__, reason="ModelError")


def run(data, method=None):
    return answer(data, method)


SAMPLE = np.zeros((1, COUNT or 1))
run = input_schema("data", NumpyParameterType(SAMPLE, enforce_shape=False), convert_to_provided_type=False)(run)
run = input_schema("method", StandardPythonParameterType(method_of(MODEL, None)), convert_to_provided_type=False)(run)
run = output_schema(StandardPythonParameterType({method_of(MODEL, None): NumpyParameterType(sample_output(SAMPLE))}))(run)
