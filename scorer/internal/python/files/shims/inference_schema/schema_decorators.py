"""input_schema and output_schema: what run() takes and gives, by sample."""

import functools
import inspect

from . import schema_util
from .parameter_types.abstract_parameter_type import AbstractParameterType


def input_schema(param_name, param_type, convert_to_provided_type=True, optional=False):
    """Describes one argument of the function, and converts what comes as JSON to the type of the sample."""
    _check(param_type)
    schema, versions = param_type.input_to_swagger(), _versions(param_type)

    def decorate(func):
        schema_util.note_input(func, param_name, schema, versions)

        @functools.wraps(func)
        def call(*args, **kwargs):
            if convert_to_provided_type:
                args = _convert(func, args, kwargs, (param_name, param_type, optional))
            return func(*args, **kwargs)

        return call

    return decorate


def output_schema(output_type):
    """Describes the result of the function; the function has to convert it itself."""
    _check(output_type)
    schema, versions = output_type.input_to_swagger(), _versions(output_type)

    def decorate(func):
        schema_util.note_output(func, schema, versions)

        @functools.wraps(func)
        def call(*args, **kwargs):
            return func(*args, **kwargs)

        return call

    return decorate


def _check(param_type):
    if not isinstance(param_type, AbstractParameterType):
        raise Exception("a schema needs a parameter type, for example NumpyParameterType(sample), not %r" % (param_type,))


def _versions(param_type):
    """A type of the user's own may know nothing of versions."""
    versions = getattr(param_type, "supported_versions", None)
    return versions() if versions else schema_util.ALL_SUPPORTED_VERSIONS


def _convert(func, args, kwargs, parameter):
    name, param_type, optional = parameter
    if name in kwargs:
        if not optional or kwargs[name]:
            kwargs[name] = _converted(kwargs[name], param_type)
        return args
    if optional:
        return args
    names = inspect.getfullargspec(inspect.unwrap(func)).args
    if name not in names:
        raise Exception("input_schema speaks of %r, which is no argument of %s()" % (name, func.__name__))
    at = names.index(name)
    if at >= len(args):
        raise TypeError("%s() got no value for %r" % (func.__name__, name))
    return args[:at] + (_converted(args[at], param_type),) + args[at + 1 :]


def _converted(value, param_type):
    """Values within a dict or list sample are converted where the sample has a parameter type for them."""
    kind = param_type.sample_data_type
    if kind is dict:
        _expect(value, (dict,), kind)
        inner = getattr(param_type, "sample_data_type_map", {})
        return {k: _converted(v, inner[k]) if k in inner else v for k, v in value.items()}
    if kind in (list, tuple):
        _expect(value, (list, tuple), kind)
        inner = getattr(param_type, "sample_data_type_list", [])
        return [_converted(v, inner[0]) for v in value] if inner else value
    return value if isinstance(value, kind) else param_type.deserialize_input(value)


def _expect(value, kinds, wanted):
    if not isinstance(value, kinds):
        raise ValueError("the sample is of type %s, the value of type %s" % (wanted.__name__, type(value).__name__))
