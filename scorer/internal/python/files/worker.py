"""Entry point of a worker process: python worker.py FD.

FD is the worker's end of a socket pair; the frames on it are described in the Go package internal/worker.
"""

import faulthandler
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

from fairlead_worker import aliases, loop, output


def main():
    # The worker's own folder must not shadow a module of the script; the shims come last, so that real packages win.
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
    sys.path.append(os.path.join(HERE, "shims"))
    aliases.install()
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output.install()
    fd = int(sys.argv[1])
    sys.argv[:] = sys.argv[:1]
    loop.serve(fd)


if __name__ == "__main__":
    main()
