"""PandasParameterType: a data frame with the columns and types of the sample."""

import io
import json

import pandas as pd

from ._swagger import schema_of_dict, schema_of_list
from .abstract_parameter_type import AbstractParameterType

ORIENTS = ("split", "records", "index", "columns", "values", "table")
FORMAT = "pandas.DataFrame:%s"


class PandasParameterType(AbstractParameterType):
    """A data frame, written in JSON in one of the orients of pandas."""

    def __init__(self, sample_input, enforce_column_type=True, enforce_shape=True, apply_column_names=False, orient="records"):
        if not isinstance(sample_input, pd.DataFrame):
            raise Exception("the sample must be a pandas DataFrame, not %s" % type(sample_input).__name__)
        if orient not in ORIENTS:
            raise Exception("orient is %r, it must be one of %s" % (orient, ", ".join(ORIENTS)))
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient

    def deserialize_input(self, input_data):
        if isinstance(input_data, pd.DataFrame):
            return input_data
        if not isinstance(input_data, (list, dict)):
            raise ValueError("a data frame must come as a list or an object, not as %s" % type(input_data).__name__)
        # Types are those of the sample, not guessed ones: "007" stays text.
        options = {} if self.orient == "table" else {"dtype": False}
        frame = pd.read_json(io.StringIO(json.dumps(input_data)), orient=self.orient, **options)
        if self.apply_column_names:
            frame.columns = self.sample_input.columns.copy()
        if self.enforce_column_type:
            frame = self._with_types(frame)
        if self.enforce_shape and frame.shape[1] != self.sample_input.shape[1]:
            text = "the data frame must have %d columns, it has %d"
            raise ValueError(text % (self.sample_input.shape[1], frame.shape[1]))
        return frame

    def input_to_swagger(self):
        sample = json.loads(self.sample_input.to_json(orient=self.orient, date_format="iso"))
        schema = schema_of_list(sample) if self.orient in ("records", "values") else schema_of_dict(sample)
        for name, form in self._times():
            for column in self._column_schemas(schema, name):
                column["format"] = form
        schema["format"] = FORMAT % self.orient
        return schema

    def _with_types(self, frame):
        known = self.sample_input.dtypes.to_dict()
        types = {name: known.get(name, object) for name in frame.columns}
        for name, dtype in types.items():
            if str(dtype).startswith("timedelta"):
                frame[name] = pd.to_timedelta(frame[name])
        return frame.astype(types)

    def _times(self):
        """The columns that JSON has no type for, with the format that says what their text is."""
        formats = (("datetime", "date-time"), ("timedelta", "timedelta"))
        for name, dtype in self.sample_input.dtypes.items():
            for start, form in formats:
                if str(dtype).startswith(start):
                    yield str(name), form

    def _column_schemas(self, schema, name):
        """Where the schema describes a column."""
        if self.orient == "records":
            return [schema["items"]["properties"][name]]
        if self.orient == "index":
            return [row["properties"][name] for row in schema["properties"].values()]
        if self.orient == "columns":
            return list(schema["properties"][name]["properties"].values())
        if self.orient == "table":
            return [schema["properties"]["data"]["items"]["properties"][name]]
        return []
