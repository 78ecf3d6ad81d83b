"""Writes the models of the tests beside itself, and reference.json: inputs with the answers that scikit-learn or NumPy
give, not ONNX. Needs Debian's python3-onnx, python3-sklearn and python3-numpy; the tests need only the files.

    /usr/bin/python3 generate.py
"""

import json
import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import checker, helper, numpy_helper
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = os.path.dirname(os.path.abspath(__file__))


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def constant(name, array):
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def sequence_of_maps(name):
    info = onnx.ValueInfoProto(name=name)
    entry = info.type.sequence_type.elem_type.map_type
    entry.key_type = T.INT64
    entry.value_type.tensor_type.elem_type = T.FLOAT
    return info


def save(name, nodes, inputs, outputs, constants=(), metadata=None):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(
        graph,
        producer_name="fairlead",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)],
    )
    if metadata:
        helper.set_model_props(model, metadata)
    checker.check_model(model)
    onnx.save(model, os.path.join(HERE, name + ".onnx"))


def ridge():
    """Scaler and ridge regression over the ten features of the diabetes data, in double precision."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    pipeline = make_pipeline(StandardScaler(), Ridge(alpha=0.5)).fit(x, y)
    scaler, model = pipeline.named_steps["standardscaler"], pipeline.named_steps["ridge"]
    save(
        "ridge",
        [
            helper.make_node("Sub", ["features", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "coefficients"], ["product"]),
            helper.make_node("Add", ["product", "intercept"], ["progression"]),
        ],
        [value("features", T.DOUBLE, ["batch", 10])],
        [value("progression", T.DOUBLE, ["batch", 1])],
        [
            constant("mean", scaler.mean_),
            constant("scale", scaler.scale_),
            constant("coefficients", model.coef_.reshape(10, 1)),
            constant("intercept", np.array([model.intercept_])),
        ],
        {"author": "the tests"},
    )
    rows = x[:8]
    return {"input": rows.tolist(), "output": pipeline.predict(rows).reshape(-1, 1).tolist()}


def digits():
    """A perceptron with one hidden layer over the 8 by 8 pictures of the digits data, in single precision."""
    x, y = load_digits(return_X_y=True)
    model = MLPClassifier((64,), max_iter=60, random_state=1).fit(x, y)
    w1, w2 = (w.astype(np.float32) for w in model.coefs_)
    b1, b2 = (b.astype(np.float32) for b in model.intercepts_)
    save(
        "digits",
        [
            helper.make_node("Gemm", ["pixels", "w1", "b1"], ["sum1"]),
            helper.make_node("Relu", ["sum1"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "w2", "b2"], ["sum2"]),
            helper.make_node("Softmax", ["sum2"], ["probabilities"], axis=-1),
            helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=-1, keepdims=0),
        ],
        [value("pixels", T.FLOAT, ["batch", 64])],
        [value("probabilities", T.FLOAT, ["batch", 10]), value("digit", T.INT64, ["batch"])],
        [constant("w1", w1), constant("b1", b1), constant("w2", w2), constant("b2", b2)],
    )
    rows = x[:8]
    hidden = np.maximum(rows @ w1.astype(np.float64) + b1, 0)
    scores = hidden @ w2.astype(np.float64) + b2
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return {"input": rows.tolist(), "output": odds.tolist(), "digit": odds.argmax(axis=1).tolist()}


def iris():
    """A classifier as converters from scikit-learn write it: a label, and a sequence of maps from class to probability."""
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(x, y)
    save(
        "iris",
        [
            helper.make_node(
                "LinearClassifier", ["X"], ["output_label", "scores"], domain="ai.onnx.ml",
                coefficients=model.coef_.astype(np.float32).ravel().tolist(),
                intercepts=model.intercept_.astype(np.float32).tolist(),
                classlabels_ints=[0, 1, 2], multi_class=1, post_transform="SOFTMAX",
            ),
            helper.make_node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
        ],
        [value("X", T.FLOAT, [None, 4])],
        [
            value("output_label", T.INT64, [None]),
            sequence_of_maps("output_probability"),
        ],
    )
    rows = x[::50]
    return {"input": rows.tolist(), "output": model.predict_proba(rows).tolist(), "label": model.predict(rows).tolist()}


def types():
    """Every type of tensor that the protocol knows, given back as it came."""
    kinds = {
        "bool": T.BOOL, "uint8": T.UINT8, "uint16": T.UINT16, "uint32": T.UINT32, "uint64": T.UINT64,
        "int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64,
        "fp16": T.FLOAT16, "fp32": T.FLOAT, "fp64": T.DOUBLE, "bf16": T.BFLOAT16, "bytes": T.STRING,
    }
    save(
        "types",
        [helper.make_node("Identity", [k], [k + "_out"]) for k in kinds],
        [value(k, t, ["batch", 2]) for k, t in kinds.items()],
        [value(k + "_out", t, ["batch", 2]) for k, t in kinds.items()],
    )


def scalar():
    """No dimension is free, and the answer has none."""
    save(
        "scalar",
        [
            helper.make_node("ReduceSum", ["values"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "factor"], ["total"]),
        ],
        [value("values", T.FLOAT, [3]), value("factor", T.FLOAT, [])],
        [value("total", T.FLOAT, [])],
    )


def shapes():
    """Two inputs that share the free first dimension, a second free dimension, and an output whose shape is not known before."""
    save(
        "shapes",
        [
            helper.make_node("Add", ["left", "right"], ["sum"]),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node("NonZero", ["positive"], ["where"]),
        ],
        [value("left", T.FLOAT, ["batch", "width"]), value("right", T.FLOAT, ["batch", "width"])],
        [value("sum", T.FLOAT, ["batch", "width"]), value("where", T.INT64, [2, None])],
        [constant("zero", np.array(0, np.float32))],
    )


def found():
    """An output whose open dimension is not that of the input: the places of what is not zero."""
    save(
        "found",
        [helper.make_node("NonZero", ["x"], ["at"]), helper.make_node("Transpose", ["at"], ["places"], perm=[1, 0])],
        [value("x", T.FLOAT, ["batch"])],
        [value("places", T.INT64, ["count", 1])],
    )


def slow():
    """Adds one as often as it is told: a run of any length."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
        ],
        "body",
        [value("i", T.INT64, []), value("go", T.BOOL, []), value("sum_in", T.FLOAT, ["batch"])],
        [value("go_on", T.BOOL, []), value("sum_out", T.FLOAT, ["batch"])],
        [constant("one", np.array(1, np.float32))],
    )
    save(
        "slow",
        [helper.make_node("Loop", ["times", "", "start"], ["end"], body=body)],
        [value("start", T.FLOAT, ["batch"]), value("times", T.INT64, [1])],
        [value("end", T.FLOAT, ["batch"])],
    )


def main():
    reference = {"ridge": ridge(), "digits": digits(), "iris": iris()}
    types()
    scalar()
    shapes()
    found()
    slow()
    with open(os.path.join(HERE, "reference.json"), "w") as f:
        json.dump(reference, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
