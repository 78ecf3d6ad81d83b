"""Form bodies: fields and files of multipart/form-data, and the fields of a query string."""

import io
import re
import shutil
import urllib.parse

from ._values import Headers

# A parameter of a header value: name=token or name="quoted".
PARAMETER = re.compile(r';\s*([^=;\s"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)')
# More parts than anybody sends by hand.
MOST_PARTS = 10000


class FileStorage:
    """A file of a form."""

    def __init__(self, stream=None, filename=None, name=None, content_type=None, headers=None):
        self.stream = io.BytesIO() if stream is None else stream
        self.filename = filename
        self.name = name
        self.headers = Headers() if headers is None else headers
        if content_type is not None:
            self.headers["Content-Type"] = content_type

    @property
    def content_type(self):
        return self.headers.get("Content-Type")

    @property
    def mimetype(self):
        return parse_options(self.content_type or "")[0].lower()

    @property
    def mimetype_params(self):
        return parse_options(self.content_type or "")[1]

    @property
    def content_length(self):
        return self.headers.get("Content-Length", 0, type=int)

    def save(self, dst, buffer_size=16384):
        """Writes the file to a path or an open file."""
        if hasattr(dst, "write"):
            shutil.copyfileobj(self.stream, dst, buffer_size)
            return
        with open(dst, "wb") as f:
            shutil.copyfileobj(self.stream, f, buffer_size)

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __iter__(self):
        return iter(self.stream)

    def __bool__(self):
        return bool(self.filename)

    def __repr__(self):
        return "<FileStorage: %r (%r)>" % (self.filename, self.content_type)


def parse_query(text):
    """The (name, value) pairs of a query string or an urlencoded form, names without a value included."""
    if isinstance(text, (bytes, bytearray, memoryview)):
        text = str(text, "utf-8", "replace")
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(_decoded(name), _decoded(value)) for name, _, value in pairs]


def parse_options(value):
    """A header value and its parameters."""
    first, semicolon, rest = value.partition(";")
    parameters = {}
    for name, text in PARAMETER.findall(semicolon + rest):
        text = text.strip()
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        if name.endswith("*"):
            # charset'language'percent-encoded
            charset, _, encoded = text.partition("'")
            name, text = name[:-1], _percent_decoded(encoded.partition("'")[2], charset)
        parameters[name.lower()] = text
    return first.strip(), parameters


def parse_multipart(body, boundary):
    """The fields and files of a multipart body as (name, text) and (name, FileStorage) pairs. ValueError says what is wrong."""
    if not boundary:
        raise ValueError("multipart/form-data without a boundary")
    parts = (b"\r\n" + bytes(body)).split(b"\r\n--" + boundary.encode("latin-1", "replace"), MOST_PARTS + 1)
    if len(parts) > MOST_PARTS + 1:
        raise ValueError("more than %d parts" % MOST_PARTS)
    fields, files = [], []
    for part in parts[1:]:
        if part.startswith(b"--"):
            return fields, files
        padding, newline, rest = part.partition(b"\r\n")
        if not newline or padding.strip(b" \t"):
            raise ValueError("a boundary is not followed by a line end")
        _take(rest, fields, files)
    raise ValueError("the last part is cut off" if len(parts) > 1 else "the boundary does not occur")


def _take(part, fields, files):
    # A part without headers begins with the empty line.
    head, blank, content = (b"\r\n" + part).partition(b"\r\n\r\n")
    if not blank:
        raise ValueError("a part has no end of its headers")
    headers = Headers()
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a line among the headers of a part is no header")
        headers.add(name.strip(), value.strip())
    disposition, options = parse_options(headers.get("Content-Disposition", ""))
    if disposition.lower() != "form-data" or "name" not in options:
        raise ValueError("a part does not say that it is form-data and its name")
    if "filename" in options:
        files.append((options["name"], FileStorage(io.BytesIO(content), options["filename"], options["name"], headers=headers)))
        return
    charset = parse_options(headers.get("Content-Type", ""))[1].get("charset", "utf-8")
    fields.append((options["name"], _text(content, charset)))


def _decoded(text):
    return urllib.parse.unquote_plus(text, errors="replace")


def _percent_decoded(text, charset):
    return _text(urllib.parse.unquote_to_bytes(text), charset)


def _text(content, charset):
    try:
        return content.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")
