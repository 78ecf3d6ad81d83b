"""StandardPythonParameterType: numbers, text, bytes, dates, lists and dicts."""

import base64
import datetime
import json

from ._swagger import schema_of
from .abstract_parameter_type import AbstractParameterType


class StandardPythonParameterType(AbstractParameterType):
    """A plain Python type. A dict or list sample may have parameter types inside."""

    def __init__(self, sample_input):
        super().__init__(sample_input)
        self.sample_data_type_map = {}
        self.sample_data_type_list = []
        if isinstance(sample_input, dict):
            self.sample_data_type_map = {k: v for k, v in sample_input.items() if isinstance(v, AbstractParameterType)}
        elif isinstance(sample_input, (list, tuple)):
            self.sample_data_type_list = [v for v in sample_input if isinstance(v, AbstractParameterType)]

    def deserialize_input(self, input_data):
        wanted = self.sample_data_type
        if wanted in PARSERS:
            input_data = PARSERS[wanted](input_data)
        if wanted is float and type(input_data) is int:
            return input_data
        if not isinstance(input_data, wanted):
            raise ValueError("the sample is of type %s, the value of type %s" % (wanted.__name__, type(input_data).__name__))
        return input_data

    def input_to_swagger(self):
        if self.sample_input is None:
            raise ValueError("None can't be a sample: its type says nothing")
        schema = schema_of(self.sample_input)
        try:
            json.dumps(schema)
        except TypeError as e:
            raise TypeError("the sample can't be described, because it can't be written as JSON: %s" % e)
        return schema


def _datetime(text):
    try:
        from dateutil import parser
    except ImportError:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parser.parse(text)


def _time(text):
    try:
        from dateutil import parser
    except ImportError:
        return datetime.time.fromisoformat(text.replace("Z", "+00:00"))
    return parser.parse(text).timetz()


def _bytes(text):
    return base64.b64decode(text.encode("utf-8"))


# How JSON values become what JSON has no type for.
PARSERS = {
    datetime.date: lambda text: datetime.datetime.strptime(text, "%Y-%m-%d").date(),
    datetime.datetime: _datetime,
    datetime.time: _time,
    bytes: _bytes,
    bytearray: lambda text: bytearray(_bytes(text)),
}
