"""Swagger schemas of plain Python values."""

import base64
import datetime

# Python types that are one JSON value: swagger type, format, how a sample is written.
SCALARS = {
    int: ("integer", "int64", None),
    float: ("number", "double", None),
    bool: ("boolean", None, None),
    str: ("string", None, None),
    bytes: ("string", "byte", lambda v: base64.b64encode(v).decode("ascii")),
    bytearray: ("string", "byte", lambda v: base64.b64encode(v).decode("ascii")),
    datetime.date: ("string", "date", lambda v: v.strftime("%Y-%m-%d")),
    datetime.datetime: ("string", "date-time", lambda v: _in_utc(v).strftime("%Y-%m-%d %H:%M:%S.%f %z")),
    datetime.time: ("string", "time", lambda v: _in_utc(v).strftime("%H:%M:%S.%f %z")),
}


def schema_of(value):
    """The schema of a value, with the value as example."""
    if hasattr(value, "input_to_swagger"):
        return value.input_to_swagger()
    kind = type(value)
    if kind in SCALARS:
        name, form, write = SCALARS[kind]
        schema = {"type": name}
        if form:
            schema["format"] = form
        schema["example"] = write(value) if write else value
        return schema
    if kind in (list, tuple, range):
        return schema_of_list(value)
    if kind is dict:
        return schema_of_dict(value)
    return {"type": "object", "example": value}


def schema_of_list(values):
    """Items are described by the last one."""
    items, example = {"type": "object"}, []
    for value in values:
        items = dict(schema_of(value))
        example.append(items.pop("example"))
    return {"type": "array", "items": items, "example": example}


def schema_of_dict(values):
    """All keys of the sample are required."""
    properties, example = {}, {}
    for key, value in values.items():
        properties[key] = dict(schema_of(value))
        example[key] = properties[key].pop("example")
    return {"type": "object", "required": list(values), "properties": properties, "example": example}


def versions_of(example):
    """The versions of swagger that can describe an example: version 2 has no lists of mixed types."""
    return ["2.0", "3.0", "3.1"] if _is_uniform(example) else ["3.0", "3.1"]


def _is_uniform(value):
    if isinstance(value, dict):
        return all(_is_uniform(v) for v in value.values())
    if isinstance(value, list):
        return len({type(v) for v in value}) <= 1 and all(_is_uniform(v) for v in value if isinstance(v, list))
    return True


def _in_utc(value):
    """Without a zone, a time is one in UTC."""
    return value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
