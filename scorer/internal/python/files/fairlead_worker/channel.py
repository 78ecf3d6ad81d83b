"""Frames over the worker's sockets.

A frame is an 8-byte prefix (header length, body length), the header and the body. The header's first byte is the frame's kind; what
follows it is up to the kind. Descriptors may travel with a frame. A large body lies in a file in memory whose descriptor travels.
"""

import array
import json
import mmap
import os
import socket
import struct

# Kinds: what the scorer sends, and what a worker sends.
IMPORT, LOAD, SCORE, FORK = range(1, 5)
IMPORTED, LOADED, LOAD_FAILED, REPLY, CHUNK, END, FORKED, EXITED = range(16, 24)

PREFIX = struct.Struct(">II")
REPLY_HEAD = struct.Struct(">BBQ")
BUFFER = 64 * 1024
# From this size on a body goes through a file in memory.
LARGE = 1 << 20
# Marks a header length when the body is not in the frame but in a file.
DETACHED = 1 << 31
MAX_DESCRIPTORS = 72
CONTROL = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)


class ProtocolError(Exception):
    """The scorer sent what it must not send."""


class Channel:
    """Reads and writes the frames of one socket. The scorer sends the next frame only after the answer to the last."""

    def __init__(self, fd):
        # A child of the script must not hold the socket open after the worker's end.
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._into = [self._view]

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def receive(self):
        """The next (header, body, descriptors), or None when the scorer has closed its end."""
        count, control, _, _ = self._socket.recvmsg_into(self._into, CONTROL)
        files = _descriptors(control) if control else ()
        while count < PREFIX.size:
            got = self._socket.recv_into(self._view[count:]) if count else 0
            if not got:
                return None
            count += got
        header_size, body_size = PREFIX.unpack_from(self._buffer)
        if header_size & DETACHED:
            return self._detached(count, header_size & ~DETACHED, body_size, files)
        start = PREFIX.size + header_size
        end = start + body_size
        if count == end:
            return bytes(self._view[PREFIX.size : start]), bytes(self._view[start:end]), files
        content = self._rest(count, end)
        if content is None:
            return None
        return bytes(content[:header_size]), content[header_size:], files

    def send(self, kind, fields=None, body=b"", files=()):
        """Sends a frame whose header is a kind and, if there are any, fields as JSON."""
        self._send(bytes((kind,)) + _json(fields), body, files)

    def reply(self, outcome, exec_ns, fields, body):
        self._send(REPLY_HEAD.pack(REPLY, outcome, exec_ns) + _json(fields), body, ())

    def _rest(self, count, end):
        """What follows the prefix of a frame of which count bytes lie in the buffer."""
        if count > end:
            raise ProtocolError("%d bytes follow a frame" % (count - end))
        content = memoryview(bytearray(end - PREFIX.size))
        have = count - PREFIX.size
        content[:have] = self._view[PREFIX.size : count]
        while have < len(content):
            got = self._socket.recv_into(content[have:])
            if not got:
                return None
            have += got
        return content.toreadonly()

    def _detached(self, count, header_size, body_size, files):
        header = self._rest(count, PREFIX.size + header_size)
        if header is None:
            return None
        if not files:
            raise ProtocolError("a large body came without its descriptor")
        try:
            body = memoryview(mmap.mmap(files[0], body_size, prot=mmap.PROT_READ)) if body_size else b""
        finally:
            os.close(files[0])
        return bytes(header), body, files[1:]

    def _send(self, header, body, files):
        size = len(body)
        if size < LARGE and not files:
            start = PREFIX.pack(len(header), size) + header
            if size <= BUFFER:
                self._socket.sendall(start + body)
            else:
                self._socket.sendall(start)
                self._socket.sendall(body)
            return
        memory = _memory_file(body) if size >= LARGE else None
        if memory is None:
            self._send_with(PREFIX.pack(len(header), size) + header, files)
            self._socket.sendall(body)
            return
        try:
            self._send_with(PREFIX.pack(len(header) | DETACHED, size) + header, (memory, *files))
        finally:
            os.close(memory)

    def _send_with(self, data, files):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        sent = self._socket.sendmsg([data], control)
        if sent < len(data):
            self._socket.sendall(data[sent:])


def _json(fields):
    return json.dumps(fields).encode("ascii") if fields else b""


def _descriptors(control):
    found = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return tuple(found)


def _memory_file(body):
    """The descriptor of a file in memory with the body, or None where there are none."""
    if not hasattr(os, "memfd_create"):
        return None
    memory = os.memfd_create("fairlead-reply")
    try:
        view = memoryview(body)
        written = 0
        while written < len(view):
            written += os.write(memory, view[written:])
    except BaseException:
        os.close(memory)
        raise
    return memory
