"""The worker's loop: load the script once, then answer one request after the other."""

import sys
import time

from . import output, result, script
from .channel import Channel


def serve(fd):
    channel = Channel(fd)
    frame = channel.receive()
    if frame is None:
        return
    loaded = _load(channel, frame[0])
    if loaded is None:
        return
    while True:
        frame = channel.receive()
        if frame is None:
            return
        _answer(channel, loaded, *frame)


def _load(channel, order):
    try:
        loaded = script.load(order["script"], order.get("source_dir", ""))
    except script.LoadError as e:
        channel.send({"type": "load_failed", "reason": e.reason, "cause": e.cause}, e.detail.encode("utf-8", "backslashreplace"))
        return None
    channel.send({"type": "loaded", "request_headers": loaded.wants_headers})
    return loaded


def _answer(channel, loaded, order, body):
    output.tag(order.get("id", ""))
    try:
        _score(channel, loaded, order, body)
    except SystemExit:
        channel.send({"type": "reply", "outcome": "exit"})
        raise
    finally:
        output.tag("")


def _score(channel, loaded, order, body):
    try:
        data = result.query_json(order.get("query", "")) if order["method"] == "GET" else body.decode("utf-8")
    except UnicodeDecodeError as e:
        message = "Input cannot be decoded as UTF-8: %s" % e
        channel.send({"type": "reply", "outcome": "bad_input", "message": message})
        return
    arguments = {loaded.data_name: data}
    if loaded.wants_headers:
        arguments[script.HEADERS] = result.header_dict(order.get("headers", {}))
    start = time.perf_counter()
    try:
        value = loaded.run(**arguments)
    except Exception as e:
        sys.stderr.write("run() raised an exception\n" + script.format_error(e))
        channel.send({"type": "reply", "outcome": "raised"})
        return
    exec_ms = (time.perf_counter() - start) * 1000
    try:
        head, chunks = _encode(value, exec_ms)
    except Exception as e:
        sys.stderr.write("the result of run() can't be sent\n" + script.format_error(e))
        channel.send({"type": "reply", "outcome": "unsendable"})
        return
    if isinstance(chunks, bytes):
        channel.send(head, chunks)
    else:
        _stream(channel, head, chunks)


def _encode(value, exec_ms):
    head = {"type": "reply", "outcome": "ok", "exec_ms": exec_ms}
    if not result.is_response(value):
        return head, result.encode_value(value)
    head["status"], head["headers"] = result.response_head(value)
    if getattr(value, "is_streamed", False):
        head["stream"] = True
        return head, value.iter_encoded()
    return head, b"".join(value.iter_encoded())


def _stream(channel, head, chunks):
    channel.send(head)
    try:
        for chunk in chunks:
            if chunk:
                channel.send({"type": "chunk"}, chunk)
    except OSError:
        raise
    except Exception as e:
        sys.stderr.write("the body that run() returned failed while it was sent\n" + script.format_error(e))
        channel.send({"type": "end", "failed": True})
        return
    channel.send({"type": "end"})
