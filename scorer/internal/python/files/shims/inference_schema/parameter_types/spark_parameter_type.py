"""SparkParameterType: a Spark data frame with the schema of the sample."""

import base64
import datetime
import decimal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, MapType, StructType

from .abstract_parameter_type import AbstractParameterType
from .standard_py_parameter_type import PARSERS

# Spark's simple types in swagger.
SIMPLE = {
    "byte": ("integer", "int8"),
    "short": ("integer", "int16"),
    "integer": ("integer", "int32"),
    "long": ("integer", "int64"),
    "boolean": ("boolean", None),
    "float": ("number", "float"),
    "double": ("number", "double"),
    "decimal": ("number", "decimal"),
    "string": ("string", None),
    "binary": ("string", "binary"),
    "date": ("string", "date"),
    "timestamp": ("string", "date-time"),
    "null": ("object", None),
}


class SparkParameterType(AbstractParameterType):
    """A data frame that comes as a list of objects, one for each row."""

    def __init__(self, sample_input, apply_sample_schema=True):
        if not isinstance(sample_input, DataFrame):
            raise Exception("the sample must be a Spark DataFrame, not %s" % type(sample_input).__name__)
        super().__init__(sample_input)
        self.apply_sample_schema = apply_sample_schema

    def deserialize_input(self, input_data):
        if isinstance(input_data, DataFrame):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError("a data frame must come as a list, not as %s" % type(input_data).__name__)
        session = SparkSession.builder.getOrCreate()
        if not self.apply_sample_schema:
            return session.createDataFrame(input_data)
        schema = self.sample_input.schema
        return session.createDataFrame([_value(row, schema) for row in input_data], schema=schema)

    def input_to_swagger(self):
        items = _schema(self.sample_input.schema)
        return {"type": "array", "items": items, "example": [_example(row, items) for row in self.sample_input.collect()]}


def _schema(kind):
    if isinstance(kind, StructType):
        return {"type": "object", "properties": {name: _schema(kind[name].dataType) for name in kind.names}}
    if isinstance(kind, ArrayType):
        return {"type": "array", "items": _schema(kind.elementType)}
    if isinstance(kind, MapType):
        return {"type": "object", "additionalProperties": _schema(kind.valueType)}
    if kind.typeName() not in SIMPLE:
        raise TypeError("columns of type %s can't be described" % kind.typeName())
    name, form = SIMPLE[kind.typeName()]
    return {"type": name, "format": form} if form else {"type": name}


def _value(value, kind):
    """What Spark does not make of a JSON value by itself."""
    if isinstance(kind, StructType):
        return {name: _value(value[name], kind[name].dataType) for name in kind.names}
    if isinstance(kind, ArrayType):
        return [_value(item, kind.elementType) for item in value]
    if isinstance(kind, MapType):
        return {key: _value(item, kind.valueType) for key, item in value.items()}
    name = kind.typeName()
    if name == "date":
        return PARSERS[datetime.datetime](value).date()
    if name == "timestamp":
        return PARSERS[datetime.datetime](value)
    if name == "decimal":
        return decimal.Decimal(value)
    return bytearray(base64.b64decode(value)) if name == "binary" else value


def _example(value, schema):
    if schema["type"] == "array":
        return [_example(item, schema["items"]) for item in value]
    if "properties" in schema:
        return {name: _example(value[name], inner) for name, inner in schema["properties"].items()}
    if "additionalProperties" in schema:
        return {key: _example(item, schema["additionalProperties"]) for key, item in value.items()}
    form = schema.get("format")
    if form == "date":
        return value.strftime("%Y-%m-%d")
    if form == "date-time":
        return value.strftime("%Y-%m-%d %H:%M:%S,%f")
    if form == "binary":
        return base64.b64encode(value).decode("ascii")
    return {"integer": int, "number": float, "boolean": bool}.get(schema["type"], str)(value)
