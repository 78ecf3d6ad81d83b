"""What run() takes and gives: request bytes to arguments, results to response bytes."""

import json
import urllib.parse


def query_json(query):
    """A query string as the JSON text that run() gets for a GET request."""
    values = {}
    for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True, errors="replace"):
        values.setdefault(name, []).append(_value(text))
    return json.dumps({name: v[0] if len(v) == 1 else v for name, v in values.items()})


def header_dict(pairs):
    """Headers named as a WSGI server names them: Traceparent, X-Ms-Request-Id."""
    return {name.title(): value for name, value in pairs.items()}


def is_response(value):
    """True for AMLResponse, ours or the real one."""
    return hasattr(value, "status_code") and hasattr(value, "iter_encoded") and hasattr(value, "headers")


def encode_value(value):
    """The JSON body for a plain result."""
    return b"{}" if value is None else json.dumps(value).encode("ascii")


def response_head(response):
    """Status and headers of a response object, checked."""
    status = response.status_code
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("the status of an AMLResponse must be a number from 200 to 599, not %r" % (status,))
    return status, [[str(name), str(value)] for name, value in response.headers.items()]


def _value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text
