"""What a worker does before it has a script: import packages ahead of time, then take over what its load order says.

A worker may be started before it is known for what. Everything that the process environment gives otherwise comes with the load order:
environment variables, working directory, standard output and error.
"""

import importlib
import json
import os
import sys
import time

from . import output
from .channel import IMPORT, IMPORTED, LOAD, Channel, ProtocolError


class LoadOrder:
    def __init__(self, fields, files):
        outputs = 2 if fields.get("output") else 0
        self.script = fields["script"]
        self.source_dir = fields.get("source_dir", "")
        self.preload = fields.get("preload", False)
        self.directory = fields.get("directory", "")
        self.environment = fields.get("environment")
        self.output = files[:outputs]
        self.lanes = [Channel(fd) for fd in files[outputs:]]
        self.requests_at_once = fields.get("requests_at_once", 1)


def await_load(channel):
    """Imports what the scorer says until a load order comes, applies that and gives it; None when there is none to come."""
    while True:
        frame = channel.receive()
        if frame is None:
            return None
        header, _, files = frame
        fields = json.loads(header[1:])
        if header[0] == LOAD:
            order = LoadOrder(fields, files)
            _apply(order)
            return order
        if header[0] != IMPORT:
            raise ProtocolError("a frame of kind %d where a load order must come" % header[0])
        channel.send(IMPORTED, _import(fields["packages"]))


def _import(packages):
    failed = {}
    for name in packages:
        try:
            importlib.import_module(name)
        except BaseException as e:
            failed[name] = "%s: %s" % (type(e).__name__, e)
    output.end()
    return {"failed": failed}


def _apply(order):
    for target, fd in zip((1, 2), order.output):
        os.dup2(fd, target)
        os.close(fd)
    if order.environment is not None:
        before = os.environ.get("PYTHONPATH", "")
        os.environ.clear()
        os.environ.update(order.environment)
        if os.environ.get("PYTHONPATH", "") != before:
            _replace_paths(before, os.environ.get("PYTHONPATH", ""))
        if hasattr(time, "tzset"):
            time.tzset()
    if order.directory:
        os.chdir(order.directory)


def _replace_paths(before, after):
    """What the interpreter makes of PYTHONPATH when it starts."""
    old = [p for p in before.split(os.pathsep) if p]
    new = [p for p in after.split(os.pathsep) if p]
    sys.path[:] = new + [p for p in sys.path if p not in old]
