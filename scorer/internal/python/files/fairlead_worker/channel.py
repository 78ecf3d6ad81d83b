"""Length-prefixed frames over the worker's socket."""

import json
import os
import socket
import struct

PREFIX = struct.Struct(">II")
BUFFER = 64 * 1024


class Channel:
    """Reads and writes frames: header length, body length, header (JSON), body (raw bytes)."""

    def __init__(self, fd):
        # A child of the script must not hold the socket open after the worker's end.
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)
        self._reader = self._socket.makefile("rb", BUFFER)

    def receive(self):
        """The next (header, body), or None when the scorer has closed its end."""
        prefix = self._reader.read(PREFIX.size)
        if len(prefix) < PREFIX.size:
            return None
        header_size, body_size = PREFIX.unpack(prefix)
        header = self._reader.read(header_size)
        body = self._reader.read(body_size) if body_size else b""
        if len(header) < header_size or len(body) < body_size:
            return None
        return json.loads(header), body

    def send(self, header, body=b""):
        head = json.dumps(header).encode("ascii")
        start = PREFIX.pack(len(head), len(body)) + head
        if len(body) <= BUFFER:
            self._socket.sendall(start + body)
        else:
            self._socket.sendall(start)
            self._socket.sendall(body)
