"""Calls run() for one request and makes its answer."""

import sys
import time

from . import forms, result, script

# Outcomes of a request, as the scorer knows them; 0 is none.
OK, RAISED, UNSENDABLE, BAD_INPUT, EXIT, UNSUPPORTED = range(1, 7)


class Answer:
    """What goes back: fields holds what is seldom there; chunks, if not None, is a body that is still being made."""

    __slots__ = ("outcome", "exec_ns", "fields", "body", "chunks")

    def __init__(self, outcome, exec_ns=0, fields=None, body=b"", chunks=None):
        self.outcome = outcome
        self.exec_ns = exec_ns
        self.fields = fields
        self.body = body
        self.chunks = chunks


def answer(loaded, fields, body):
    """The Answer to a request: fields are those of its order, body is bytes or, when it is large, a read-only buffer."""
    try:
        arguments = loaded.form.arguments(fields, body)
    except forms.BadInput as e:
        return Answer(BAD_INPUT, fields={"message": str(e)})
    except forms.UnsupportedInput as e:
        return Answer(UNSUPPORTED, fields={"message": str(e)})
    except Exception as e:
        # JSON in a wrong encoding, for example; the old product has no better answer either.
        report("the request can't be read", e)
        return Answer(UNSENDABLE)
    if loaded.wants_headers:
        arguments[script.HEADERS] = result.header_dict(fields.get("headers", {}))
    start = time.perf_counter_ns()
    try:
        value = loaded.run(**arguments)
    except Exception as e:
        report("run() raised an exception", e)
        return Answer(RAISED)
    exec_ns = time.perf_counter_ns() - start
    try:
        return _encode(value, exec_ns)
    except Exception as e:
        report("the result of run() can't be sent", e)
        return Answer(UNSENDABLE)


def _encode(value, exec_ns):
    if not result.is_response(value):
        return Answer(OK, exec_ns, body=result.encode_value(value))
    status, headers = result.response_head(value)
    fields = {"status": status, "headers": headers}
    if getattr(value, "is_streamed", False):
        return Answer(OK, exec_ns, fields, chunks=value.iter_encoded())
    return Answer(OK, exec_ns, fields, b"".join(value.iter_encoded()))


def report(what, error):
    """Writes an error of the script where its output goes."""
    sys.stderr.write(what + "\n" + script.format_error(error))
