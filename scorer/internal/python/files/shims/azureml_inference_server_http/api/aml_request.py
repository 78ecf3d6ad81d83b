"""AMLRequest and @rawhttp: run() gets the HTTP request itself.

AMLRequest has what entry scripts use of a Flask request. Where the script has Flask, it gets a Flask request instead.
"""

import http.cookies
import io
import json
import sys
import urllib.parse

from ._forms import parse_multipart, parse_options, parse_query
from ._values import Headers, MultiDict

_rawHttpRequested = False


def rawhttp(func):
    """Decorates run(): its argument is the request, an AMLRequest."""
    global _rawHttpRequested
    _rawHttpRequested = True
    return func


class AMLRequest:
    """A request, read from its WSGI environment. Everything but the environment is worked out when asked for."""

    def __init__(self, environ):
        self.environ = environ
        self.method = environ["REQUEST_METHOD"]
        self.scheme = environ["wsgi.url_scheme"]
        self.script_root = environ["SCRIPT_NAME"]
        self.path = environ["PATH_INFO"]
        self.query_string = environ["QUERY_STRING"].encode("latin-1")
        self.remote_addr = environ.get("REMOTE_ADDR")
        self._kept = {}

    def _keep(self, name, make):
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def headers(self):
        return self._keep("headers", lambda: Headers(_header_pairs(self.environ)))

    @property
    def host(self):
        return self.environ.get("HTTP_HOST") or self.environ["SERVER_NAME"]

    @property
    def host_url(self):
        return "%s://%s/" % (self.scheme, self.host)

    url_root = root_url = host_url

    @property
    def base_url(self):
        return self.host_url + urllib.parse.quote(self.path.lstrip("/"))

    @property
    def full_path(self):
        return "%s?%s" % (self.path, self.query_string.decode("latin-1"))

    @property
    def url(self):
        query = self.query_string.decode("latin-1")
        return self.base_url + ("?" + query if query else "")

    @property
    def is_secure(self):
        return self.scheme == "https"

    @property
    def access_route(self):
        forwarded = self.headers.get("X-Forwarded-For", "")
        return [a.strip() for a in forwarded.split(",") if a.strip()] or [self.remote_addr]

    @property
    def content_type(self):
        return self.environ.get("CONTENT_TYPE") or None

    @property
    def content_length(self):
        length = self.environ.get("CONTENT_LENGTH")
        return int(length) if length else None

    @property
    def content_encoding(self):
        return self.headers.get("Content-Encoding")

    @property
    def mimetype(self):
        return parse_options(self.content_type or "")[0].lower()

    @property
    def mimetype_params(self):
        return parse_options(self.content_type or "")[1]

    @property
    def is_json(self):
        return is_json(self.content_type)

    @property
    def user_agent(self):
        return self.headers.get("User-Agent", "")

    @property
    def referrer(self):
        return self.headers.get("Referer")

    @property
    def cookies(self):
        return self._keep("cookies", lambda: MultiDict(_cookies(self.headers.get("Cookie", ""))))

    @property
    def args(self):
        return self._keep("args", lambda: MultiDict(parse_query(self.query_string)))

    @property
    def form(self):
        return self._parsed()[0]

    @property
    def files(self):
        return self._parsed()[1]

    @property
    def values(self):
        return self._keep("values", lambda: MultiDict(self.args.items(multi=True) + self.form.items(multi=True)))

    @property
    def data(self):
        """The body, but nothing of a form: that is in form and files."""
        return self.get_data(parse_form_data=True)

    def get_data(self, cache=True, as_text=False, parse_form_data=False):
        """The body, whatever it is; nothing where it has been read as a form before."""
        if parse_form_data and "data" not in self._kept:
            self._parsed()
        data = self._keep("data", lambda: b"" if self._is_form_taken() else self._body())
        return data.decode("utf-8", "replace") if as_text else data

    @property
    def stream(self):
        return self._keep("stream", lambda: io.BytesIO(self.get_data(parse_form_data=True)))

    @property
    def json(self):
        return self.get_json()

    def get_json(self, force=False, silent=False, cache=True):
        """The body read as JSON; None when it is of another type and force is not set."""
        if not (force or self.is_json):
            return None
        try:
            return self._keep("json", lambda: json.loads(self.get_data()))
        except ValueError:
            if silent:
                return None
            raise

    def __getattr__(self, name):
        raise AttributeError("this request has no %s; with flask in the environment it is a Flask request" % name)

    def __repr__(self):
        return "<AMLRequest %r [%s]>" % (self.url, self.method)

    def _body(self):
        return self.environ["wsgi.input"].read()

    def _is_form_taken(self):
        return "forms" in self._kept and self._form_kind() is not None

    def _form_kind(self):
        kind = self.mimetype
        return kind if kind in ("multipart/form-data", "application/x-www-form-urlencoded") else None

    def _parsed(self):
        return self._keep("forms", self._parse_form)

    def _parse_form(self):
        kind = self._form_kind()
        if kind is None:
            return MultiDict(), MultiDict()
        body = self._kept["data"] if "data" in self._kept else self._body()
        if kind != "multipart/form-data":
            return MultiDict(parse_query(body)), MultiDict()
        try:
            fields, files = parse_multipart(body, self.mimetype_params.get("boundary", ""))
        except ValueError as e:
            # Without its parts the form is an empty one, as it always was.
            sys.stderr.write("the form of the request can't be read: %s\n" % e)
            fields, files = [], []
        return MultiDict(fields), MultiDict(files)


def is_json(content_type):
    """Whether a content type is that of JSON, or of something written in JSON."""
    kind = parse_options(content_type or "")[0].lower()
    return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")


def _header_pairs(environ):
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-").title(), value
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-").title(), value


def _cookies(text):
    try:
        return [(name, morsel.value) for name, morsel in http.cookies.SimpleCookie(text).items()]
    except http.cookies.CookieError:
        return []
