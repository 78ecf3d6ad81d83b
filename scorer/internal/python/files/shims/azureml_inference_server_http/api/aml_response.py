"""AMLResponse: a response whose status, headers and body the entry script decides."""

import collections.abc
import json

FAILED = "x-ms-run-function-failed"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


class Headers(dict):
    """Header values by name; a name keeps its spelling and is found in any."""

    def __init__(self, values=()):
        super().__init__()
        for name, value in dict(values or {}).items():
            self[name] = value

    def __setitem__(self, name, value):
        super().__setitem__(self._spelling(name), str(value))

    def __getitem__(self, name):
        return super().__getitem__(self._spelling(name))

    def __delitem__(self, name):
        super().__delitem__(self._spelling(name))

    def __contains__(self, name):
        return super().__contains__(self._spelling(name))

    def get(self, name, default=None):
        return super().get(self._spelling(name), default)

    def _spelling(self, name):
        return next((known for known in self if known.lower() == name.lower()), name)


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
        self.status_code = status_code
        self.headers = Headers({"Content-Type": JSON if as_json else HTML})
        self.headers[FAILED] = bool(run_function_failed)
        for name, value in (response_headers or {}).items():
            self.headers[name] = value
        self.response = message

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
