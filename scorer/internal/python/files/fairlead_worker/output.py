"""Standard output and error of the script, line by line, each line marked with the request it belongs to."""

import io
import sys


class TaggedStream(io.TextIOWrapper):
    """A text stream that starts every line with "[request id] " while a request runs."""

    tag = ""
    _at_start = True

    def write(self, text):
        marked = self._mark(text) if self.tag else text
        if text:
            self._at_start = text.endswith("\n")
        try:
            super().write(marked)
        except OSError:
            # Whoever read the output is gone; a print must not fail the request for that.
            pass
        return len(text)

    def flush(self):
        try:
            super().flush()
        except OSError:
            pass

    def _mark(self, text):
        lines = text.splitlines(True)
        first = self.tag if self._at_start else ""
        return first + self.tag.join(lines) if lines else text


def install():
    sys.stdout = _open(1)
    sys.stderr = _open(2)


def tag(request_id):
    """Ties the lines written from now on to a request; an empty id ends that."""
    mark = "[%s] " % request_id if request_id else ""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TaggedStream):
            if not mark:
                stream.flush()
            stream.tag = mark


def _open(fd):
    raw = open(fd, "wb", closefd=False)
    return TaggedStream(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
