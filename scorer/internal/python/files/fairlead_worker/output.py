"""Standard output and error of the script, line by line, each line marked with the request it belongs to."""

import contextvars
import io
import sys
import threading

# The mark of the request that this thread, or what was copied from its context, works for.
_mark = contextvars.ContextVar("fairlead_request_mark", default="")


class TaggedStream(io.TextIOWrapper):
    """A text stream that starts every line with "[request id] " while a request runs; threads that run() starts are its request's."""

    tag = ""
    _at_start = True
    _written = False

    def write(self, text):
        self._put(self._marked(text, self.tag) if self.tag else text)
        if text:
            self._at_start = text.endswith("\n")
        return len(text)

    def flush(self):
        try:
            super().flush()
        except OSError:
            pass

    def begin(self, mark):
        self.tag = mark

    def end(self):
        if self._written:
            self._written = False
            self.flush()
        self.tag = ""

    def _put(self, text):
        self._written = True
        try:
            super().write(text)
        except OSError:
            # Whoever read the output is gone; a print must not fail the request for that.
            pass

    def _marked(self, text, tag):
        lines = text.splitlines(True)
        first = tag if self._at_start else ""
        return first + tag.join(lines) if lines else text


class SharedStream(TaggedStream):
    """The same where several requests run at once: a line goes out when it is whole, or its request is over."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._lock = threading.RLock()
        self._lines = threading.local()

    def write(self, text):
        whole, newline, rest = (getattr(self._lines, "begun", "") + text).rpartition("\n")
        self._lines.begun = rest
        if newline:
            self._lines_out(whole + newline)
        return len(text)

    def begin(self, mark):
        _mark.set(mark)

    def end(self):
        begun = getattr(self._lines, "begun", "")
        if begun:
            self._lines.begun = ""
            self._lines_out(begun + "\n")
        _mark.set("")

    def _lines_out(self, text):
        tag = _mark.get()
        with self._lock:
            self._put(self._marked(text, tag) if tag else text)
            self.flush()


def install(lanes=1):
    """Replaces the standard streams; lanes is how many requests run at once."""
    kind = TaggedStream if lanes == 1 else SharedStream
    sys.stdout = _open(kind, 1)
    sys.stderr = _open(kind, 2)


def begin(request_id):
    """Ties the lines written from now on to a request."""
    mark = "[%s] " % request_id if request_id else ""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TaggedStream):
            stream.begin(mark)


def end():
    """Ends what begin began, with all lines written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TaggedStream):
            stream.end()


def _open(kind, fd):
    raw = open(fd, "wb", closefd=False)
    return kind(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
