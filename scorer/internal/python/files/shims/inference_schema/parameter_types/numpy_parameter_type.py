"""NumpyParameterType: an array with the element type and shape of the sample."""

import base64
import datetime

import numpy as np

from .abstract_parameter_type import AbstractParameterType

FORMAT = "numpy.ndarray"
UNITS = {
    "years": "Y",
    "months": "M",
    "weeks": "W",
    "days": "D",
    "hours": "h",
    "minutes": "m",
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    "picoseconds": "ps",
    "femtoseconds": "fs",
    "attoseconds": "as",
}


class NumpyParameterType(AbstractParameterType):
    """An array. All dimensions but the first must be those of the sample, unless enforce_shape is off."""

    def __init__(self, sample_input, enforce_column_type=True, enforce_shape=True):
        if not isinstance(sample_input, np.ndarray):
            raise Exception("the sample must be a numpy array, not %s" % type(sample_input).__name__)
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data):
        if isinstance(input_data, np.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError("an array must come as a list, not as %s" % type(input_data).__name__)
        dtype = self.sample_input.dtype
        if not self.enforce_column_type:
            array = np.array(input_data)
        elif dtype.names or dtype.kind in "mM":
            array = np.array([_element(item, dtype) for item in input_data], dtype=dtype)
        else:
            array = np.array(input_data, dtype=dtype)
        if self.enforce_shape:
            self._check_shape(array.shape)
        return array

    def input_to_swagger(self):
        schema = _array_schema(_dtype_schema(self.sample_input.dtype), self.sample_input.ndim)
        schema["example"] = [_example(item, schema["items"]) for item in self.sample_input]
        schema["format"] = FORMAT
        return schema

    def _check_shape(self, shape):
        wanted = self.sample_input.shape
        if len(shape) != len(wanted):
            raise ValueError("the array must have %d dimensions, it has %d (shape %s)" % (len(wanted), len(shape), shape))
        for at in range(1, len(wanted)):
            if shape[at] != wanted[at]:
                raise ValueError("dimension %d of the array must be %d, it is %d" % (at, wanted[at], shape[at]))


def _element(value, dtype):
    """What numpy does not make of a JSON value by itself: structures, dates, durations."""
    if dtype.names:
        by_name = isinstance(value, dict)
        return tuple(_element(value[name if by_name else at], dtype[name]) for at, name in enumerate(dtype.names))
    if isinstance(value, list) and dtype.kind in "mM":
        return [_element(item, dtype) for item in value]
    if dtype.kind == "M":
        return np.datetime64(value)
    return _duration(value) if dtype.kind == "m" else value


def _duration(text):
    number, _, unit = text.strip().partition(" ")
    if unit.strip().lower() not in UNITS:
        raise ValueError("%r is no duration: write for example \"3 days\"" % text)
    return np.timedelta64(int(number), UNITS[unit.strip().lower()])


def _dtype_schema(dtype):
    if dtype.names:
        return {"type": "object", "properties": {name: _dtype_schema(dtype[name]) for name in dtype.names}}
    if dtype.subdtype is not None:
        return _array_schema(_dtype_schema(dtype.subdtype[0]), len(dtype.subdtype[1]))
    if dtype.kind in "iu":
        return {"type": "integer", "format": dtype.name}
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return {"type": "number", "format": "double" if dtype.itemsize == 8 else "float"}
    simple = {"b": ("boolean", None), "O": ("object", None), "U": ("string", None), "S": ("string", "binary"), "V": ("string", "binary")}
    simple.update({"M": ("string", "date-time"), "m": ("string", "timedelta")})
    if dtype.kind not in simple:
        raise TypeError("arrays of %s can't be described" % dtype.name)
    kind, form = simple[dtype.kind]
    return {"type": kind, "format": form} if form else {"type": kind}


def _array_schema(items, dimensions):
    for _ in range(max(dimensions, 1)):
        items = {"type": "array", "items": items}
    return items


def _example(value, schema):
    kind, form = schema["type"], schema.get("format")
    if kind == "array":
        return [_example(item, schema["items"]) for item in value]
    if "properties" in schema:
        return {name: _example(value[name], inner) for name, inner in schema["properties"].items()}
    if form == "date-time":
        return value.astype("datetime64[us]").astype(datetime.datetime).strftime("%Y-%m-%d %H:%M:%S,%f")
    if form == "binary":
        return base64.b64encode(value).decode("ascii")
    return {"integer": int, "number": float, "boolean": bool}.get(kind, str)(value)
