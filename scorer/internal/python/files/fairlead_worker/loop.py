"""The worker's life: what it is prepared with, the script it loads, and then one request after the other on each of its lanes.

A lane is a socket on which requests come one at a time. A worker has one, or as many as it runs requests at once, each with a thread.
"""

import json
import threading

from . import call, debugger, output, preload, script, warm
from .channel import CHUNK, END, LOAD_FAILED, LOADED, SCORE, Channel, ProtocolError


def serve(fd):
    first = Channel(fd)
    order = warm.await_load(first)
    if order is None:
        return
    loaded = _load(first, order)
    if loaded is None:
        return
    lanes = [first] + order.lanes
    if order.preload:
        lanes = preload.fork_workers(first)
    if lanes:
        _serve_lanes(lanes, loaded)


def _load(channel, order):
    output.install(order.requests_at_once)
    try:
        debugger.listen()
        loaded = script.load(order.script, order.source_dir)
    except script.LoadError as e:
        output.end()
        detail = e.detail.encode("utf-8", "backslashreplace")
        channel.send(LOAD_FAILED, {"reason": e.reason, "cause": e.cause}, detail)
        return None
    output.end()
    channel.send(LOADED, loaded.facts())
    return loaded


def _serve_lanes(lanes, loaded):
    if len(lanes) == 1:
        _serve(lanes[0], loaded)
        return
    for lane in lanes[1:]:
        threading.Thread(target=_serve_thread, args=(lane, loaded), name="fairlead-lane").start()
    _serve_thread(lanes[0], loaded)


def _serve_thread(channel, loaded):
    """Serves a lane so that the scorer sees its end. sys.exit ends only the lane: the scorer ends the process when the others are done."""
    try:
        _serve(channel, loaded)
    except SystemExit:
        pass
    finally:
        channel.close()


def _serve(channel, loaded):
    while True:
        frame = channel.receive()
        if frame is None:
            return
        header, body, _ = frame
        if header[0] != SCORE:
            raise ProtocolError("a frame of kind %d where a request must come" % header[0])
        _answer(channel, loaded, header, body)


def _answer(channel, loaded, header, body):
    start = 2 + header[1]
    fields = json.loads(header[start:]) if len(header) > start else {}
    output.begin(header[2:start].decode("utf-8", "replace"))
    try:
        answer = call.answer(loaded, fields, body)
        if answer.chunks is None:
            channel.reply(answer.outcome, answer.exec_ns, answer.fields, answer.body)
        else:
            _stream(channel, answer)
    except SystemExit:
        channel.reply(call.EXIT, 0, None, b"")
        raise
    finally:
        output.end()


def _stream(channel, answer):
    channel.reply(answer.outcome, answer.exec_ns, dict(answer.fields or {}, stream=True), b"")
    chunks = iter(answer.chunks)
    while True:
        try:
            chunk = next(chunks, None)
        except Exception as e:
            call.report("the body that run() returned failed while it was sent", e)
            channel.send(END, {"failed": True})
            return
        if chunk is None:
            channel.send(END)
            return
        if chunk:
            channel.send(CHUNK, None, chunk)
