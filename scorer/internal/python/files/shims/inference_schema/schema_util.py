"""What the decorators have noted about a function: the schemas of its input and output."""

import copy
import inspect

ALL_SUPPORTED_VERSIONS = ["2.0", "3.0", "3.1"]

# By the function that was decorated first, so that several decorators and their wrappers speak of the same.
_noted = {}


class _Note:
    def __init__(self):
        self.input = None
        self.output = None
        self.versions = set(ALL_SUPPORTED_VERSIONS)


def is_schema_decorated(func):
    """Whether a function has an input or output schema."""
    return inspect.unwrap(func) in _noted


def get_input_schema(func):
    """The swagger schema of what the function takes."""
    return _schema(func, "input")


def get_output_schema(func):
    """The swagger schema of what the function gives."""
    return _schema(func, "output")


def get_supported_versions(func):
    """The versions of swagger that can describe the function."""
    note = _noted.get(inspect.unwrap(func))
    return sorted(note.versions) if note else list(ALL_SUPPORTED_VERSIONS)


def get_schemas_dict():
    """All schemas, by module and name of the function."""
    named = {}
    for func, note in _noted.items():
        schemas = {"input_schema": note.input, "output_schema": note.output}
        named["%s.%s" % (func.__module__, func.__name__)] = {k: copy.deepcopy(v) for k, v in schemas.items() if v is not None}
    return named


def note_input(func, name, schema, versions):
    """Adds the schema of one argument. An argument without a decorator may be anything."""
    note = _note(func, versions)
    if note.input is None:
        names = inspect.getfullargspec(inspect.unwrap(func)).args
        note.input = {"type": "object", "properties": {n: {} for n in names}, "example": {n: "" for n in names}}
    rest = dict(schema)
    note.input["example"][name] = rest.pop("example")
    note.input["properties"][name] = rest


def note_output(func, schema, versions):
    """Sets the schema of the result."""
    note = _note(func, versions)
    if note.output is not None:
        raise Exception("%s has an output schema already" % func.__name__)
    note.output = schema


def _note(func, versions):
    note = _noted.setdefault(inspect.unwrap(func), _Note())
    note.versions &= set(versions)
    return note


def _schema(func, which):
    note = _noted.get(inspect.unwrap(func))
    schema = getattr(note, which, None)
    return {"type": "object"} if schema is None else schema
