"""Workers forked from a process in which init() has run: they share its memory and start at once.

The process takes no requests. It forks when the scorer says so, tells when a worker has ended, and reaps it when the scorer knows: until
then nobody else can get its process id.
"""

import ctypes
import gc
import json
import os
import select
import signal

from .channel import EXITED, FORK, FORKED, Channel, ProtocolError

PR_SET_PDEATHSIG = 1


def fork_workers(channel):
    """Forks until the scorer closes the channel. Returns the lanes to serve in a worker, and nothing in the process that forks them."""
    woken, wake = os.pipe()
    for fd in (woken, wake):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # What is there now is shared; the collector must not touch it in the workers.
    gc.collect()
    gc.freeze()
    workers = set()
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    ready.register(woken, select.POLLIN)
    while True:
        for fd, _ in ready.poll():
            if fd == woken:
                os.read(woken, 4096)
                _tell_ended(channel, workers)
                continue
            frame = channel.receive()
            if frame is None:
                return []
            lanes = _obey(channel, workers, frame, (woken, wake))
            if lanes:
                return lanes


def _obey(channel, workers, frame, pipe):
    header, _, files = frame
    if header[0] != FORK:
        raise ProtocolError("a frame of kind %d where an order to fork must come" % header[0])
    for pid in json.loads(header[1:]).get("reap", []):
        os.waitpid(pid, 0)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        return _become_worker(channel, parent, files, pipe)
    try:
        # The scorer may want to kill its group before the worker has made it.
        os.setpgid(pid, pid)
    except OSError:
        pass
    for fd in files:
        os.close(fd)
    workers.add(pid)
    channel.send(FORKED, {"pid": pid})
    return None


def _become_worker(channel, parent, files, pipe):
    os.setpgid(0, 0)
    _die_with(parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    channel.close()
    for fd in pipe:
        os.close(fd)
    return [Channel(fd) for fd in files]


def _die_with(parent):
    """Has the kernel kill this process when its parent ends, where it can."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _tell_ended(channel, workers):
    for pid in list(workers):
        # A look only: the process stays a zombie, and its id taken, until the scorer has heard of it.
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is None:
            continue
        workers.discard(pid)
        signalled = info.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        channel.send(EXITED, {"pid": pid, "signal" if signalled else "code": info.si_status})
