"""What the script logs goes to its standard error, from AZUREML_LOG_LEVEL on."""

import logging
import os
import sys

FORMAT = "%(asctime)s %(initial)s [%(process)d] %(name)s - %(message)s"


class OutputHandler(logging.Handler):
    """Writes to what standard error is at the moment, so that lines carry the mark of their request."""

    def emit(self, record):
        try:
            record.initial = record.levelname[:1]
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def install():
    """Gives the root logger a handler and a level, unless somebody has."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = OutputHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(handler)
    root.setLevel(_level(os.environ.get("AZUREML_LOG_LEVEL", "")))


def _level(name):
    level = logging.getLevelName(name.strip().upper())
    return level if isinstance(level, int) else logging.INFO
