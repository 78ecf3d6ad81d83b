"""What run() gives: results to response bytes."""

import json


def header_dict(pairs):
    """Headers named as a WSGI server names them: Traceparent, X-Ms-Request-Id."""
    return {name.title(): value for name, value in pairs.items()}


def is_response(value):
    """True for AMLResponse, ours or the real one, and for a Flask response."""
    return hasattr(value, "status_code") and hasattr(value, "iter_encoded") and hasattr(value, "headers")


def encode_value(value):
    """The JSON body for a plain result."""
    return b"{}" if value is None else json.dumps(value).encode("ascii")


def response_head(response):
    """Status and headers of a response object, checked."""
    status = response.status_code
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise ValueError("the status of an AMLResponse must be a number from 200 to 999, not %r" % (status,))
    return int(status), [[str(name), str(value)] for name, value in response.headers.items()]
