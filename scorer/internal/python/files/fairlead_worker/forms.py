"""The forms in which run() takes its input: the body's text, arguments by name, or the request itself.

A form is chosen once, when the script is loaded. arguments(fields, body) makes what run() is called with; fields are those of the
request's order.
"""

import inspect
import io
import json
import sys

TEXT, SCHEMA, RAW = "text", "schema", "raw"
REQUEST_MODULES = ("azureml_inference_server_http.api.aml_request", "azureml.contrib.services.aml_request")
# Versions of swagger, as the scorer's /swagger.json knows them.
VERSIONS = {"2.0": "2", "3.0": "3", "3.1": "3.1"}
# A description longer than this goes without its examples.
LONGEST_SCHEMA = 4 << 20


class BadInput(Exception):
    """The request is wrong: a 400."""


class UnsupportedInput(Exception):
    """The request is of a type that run() does not take: a 415."""


class TextForm:
    """run(data) gets the body as text, or the query as JSON."""

    name = TEXT

    def __init__(self, parameter):
        self._name = parameter.name

    def arguments(self, fields, body):
        if fields.get("method") == "GET":
            return {self._name: json.dumps(query_values(fields.get("query", "")))}
        try:
            return {self._name: str(body, "utf-8")}
        except UnicodeDecodeError as e:
            raise BadInput("Input cannot be decoded as UTF-8: %s" % e)


class SchemaForm:
    """run(a, b) gets the values of a JSON object, or of the query, by name."""

    name = SCHEMA

    def __init__(self, parameters):
        self._parameters = [(p.name, p.default) for p in parameters]

    def arguments(self, fields, body):
        if fields.get("method") == "GET":
            values = query_values(fields.get("query", ""))
        else:
            values = self._posted(fields, body)
        arguments = {name: values.get(name, default) for name, default in self._parameters}
        for name, value in arguments.items():
            if value is inspect.Parameter.empty:
                raise BadInput("A value is not provided for the %r parameter." % name)
        return arguments

    def _posted(self, fields, body):
        if not _is_json(fields.get("content_type", "")):
            raise UnsupportedInput("Expects Content-Type to be application/json")
        if not len(body):
            raise BadInput("POST body is empty. Expecting a JSON dictionary.")
        try:
            values = json.loads(bytes(body))
        except json.JSONDecodeError as e:
            raise BadInput("POST body could not be decoded as JSON: %s" % e)
        if not isinstance(values, dict):
            raise BadInput("POST body should be a JSON dictionary.")
        return values


class RawForm:
    """run(request) gets the request."""

    name = RAW

    def __init__(self, parameter):
        self._name = parameter.name

    def arguments(self, fields, body):
        return {self._name: _request_class()(_environ(fields, body))}


def choose(run, parameters):
    """The form for run(), whose parameters are those for data. ValueError says what does not go together."""
    decorated = is_decorated(run)
    if any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in REQUEST_MODULES):
        if decorated:
            raise ValueError("run() cannot be decorated with both @rawhttp and @input_schema")
        return RawForm(parameters[0])
    return SchemaForm(parameters) if decorated else TextForm(parameters[0])


def is_decorated(run):
    """Whether run() has an input or output schema."""
    util = sys.modules.get("inference_schema.schema_util")
    if util is None:
        return False
    try:
        return bool(util.is_schema_decorated(run))
    except AttributeError:
        # The real package can't look behind every kind of function; those that it has decorated it can.
        return False


def swagger_schema(run):
    """The schemas of a decorated run(), or None."""
    if not is_decorated(run):
        return None
    util = sys.modules["inference_schema.schema_util"]
    supported = getattr(util, "get_supported_versions", lambda run: list(VERSIONS))
    schema = {
        "input": util.get_input_schema(run),
        "output": util.get_output_schema(run),
        "versions": [VERSIONS[v] for v in supported(run) if v in VERSIONS],
    }
    text = json.dumps(schema, default=str)
    plain = _finite(json.loads(text))
    if len(text) > LONGEST_SCHEMA:
        sys.stderr.write("the samples of run() are too large for swagger: it has no examples\n")
        for side in ("input", "output"):
            plain[side].pop("example", None)
    return plain


def query_values(query):
    """The values of a query string: JSON where they are JSON, else text; a list where a name is there several times."""
    values = {}
    for name, text in _parse_query(query):
        values.setdefault(name, []).append(_json_or_text(text))
    return {name: v[0] if len(v) == 1 else v for name, v in values.items()}


def _parse_query(query):
    from urllib.parse import unquote_plus

    for part in query.split("&"):
        if part:
            name, _, text = part.partition("=")
            yield unquote_plus(name, errors="replace"), unquote_plus(text, errors="replace")


def _json_or_text(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_json(content_type):
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")


def _request_class():
    """Flask's own request where the script has Flask, else the one that needs nothing."""
    flask = sys.modules.get("flask")
    if flask is not None:
        return flask.Request
    return sys.modules[REQUEST_MODULES[0]].AMLRequest


def _environ(fields, body):
    """The request as a WSGI server describes it."""
    headers = fields.get("headers", {})
    host, _, port = fields.get("address", "").rpartition(":")
    environ = {
        "REQUEST_METHOD": fields.get("method", "POST"),
        "SCRIPT_NAME": "",
        "PATH_INFO": "/score",
        "QUERY_STRING": fields.get("query", ""),
        "REMOTE_ADDR": fields.get("remote", "").rpartition(":")[0].strip("[]"),
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value
    return environ


def _finite(value):
    """Without NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
