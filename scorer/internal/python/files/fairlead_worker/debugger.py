"""Lets a debugger attach to the worker before the script is loaded."""

import os

from . import script

PORT = "AZUREML_DEBUG_PORT"
WAIT = "FAIRLEAD_DEBUG_WAIT"


def listen():
    """Listens where AZUREML_DEBUG_PORT says, if it does."""
    port = os.environ.get(PORT, "")
    if not port:
        return
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise script.LoadError("%s is %r, it must be a port" % (PORT, port))
    try:
        import debugpy
    except ImportError:
        text = "debugging needs the package debugpy, which this interpreter does not have: install it, or give no debug port"
        raise script.LoadError(text, reason="MissingPackage")
    try:
        debugpy.listen(("127.0.0.1", int(port)))
    except Exception as e:
        raise script.LoadError("the debugger can't listen on port %s: %s" % (port, script.one_line(e)))
    if os.environ.get(WAIT, "") == "true":
        debugpy.wait_for_client()
