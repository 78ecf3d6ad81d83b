"""AMLResponse: a response whose status, headers and body the entry script decides."""

import collections.abc
import http
import json

from ._values import Headers

FAILED = "x-ms-run-function-failed"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


class AMLResponse:
    """The result of a run() that decides the HTTP answer itself.

    message is a str, bytes or an iterable of them (a generator is sent as it comes), or any JSON value when
    json_str is true. A status of 500 or above counts as a failed run.
    """

    def __init__(self, message, status_code, response_headers=None, json_str=False, run_function_failed=False):
        as_json = json_str or message is None
        if as_json:
            message = json.dumps({} if message is None else message)
        elif not isinstance(message, (str, bytes, bytearray, collections.abc.Iterable)):
            raise TypeError("the body of an AMLResponse must be str, bytes or an iterable of them, or json_str must be true")
        self.status_code = _status_code(status_code)
        self.headers = Headers({"Content-Type": JSON if as_json else HTML, FAILED: bool(run_function_failed)})
        for name, value in (response_headers or {}).items():
            self.headers[name] = value
        self.response = message

    @property
    def status(self):
        """The status with its name: 404 NOT FOUND."""
        try:
            return "%d %s" % (self.status_code, http.HTTPStatus(self.status_code).phrase.upper())
        except ValueError:
            return "%d UNKNOWN" % self.status_code

    @status.setter
    def status(self, value):
        self.status_code = _status_code(value)

    @property
    def is_streamed(self):
        """True when the body's length isn't known beforehand."""
        return not isinstance(self.response, (str, bytes, bytearray, collections.abc.Sized))

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @content_type.setter
    def content_type(self, value):
        self.headers["Content-Type"] = value

    @property
    def mimetype(self):
        return (self.content_type or "").partition(";")[0].strip().lower()

    @mimetype.setter
    def mimetype(self, value):
        text = value.startswith("text/") and "charset" not in value
        self.content_type = value + "; charset=utf-8" if text else value

    @property
    def is_json(self):
        return self.mimetype == JSON or self.mimetype.startswith("application/") and self.mimetype.endswith("+json")

    @property
    def json(self):
        return self.get_json()

    def get_json(self, force=False, silent=False):
        return json.loads(self.get_data()) if force or self.is_json else None

    @property
    def data(self):
        return self.get_data()

    @data.setter
    def data(self, value):
        self.set_data(value)

    def get_data(self, as_text=False):
        body = b"".join(self.iter_encoded())
        if self.is_streamed:
            self.response = body
        return body.decode("utf-8") if as_text else body

    def set_data(self, value):
        self.response = value

    def iter_encoded(self):
        """The body in bytes, piece by piece."""
        parts = (self.response,) if isinstance(self.response, (str, bytes, bytearray)) else self.response
        for part in parts:
            yield part.encode("utf-8") if isinstance(part, str) else bytes(memoryview(part))


def _status_code(value):
    """The number of a status that may be written as 404, "404" or "404 Not Found"."""
    if isinstance(value, str):
        value = value.split(None, 1)[0] if value.strip() else value
        return int(value) if value.isdigit() else value
    return value
