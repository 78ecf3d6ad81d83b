"""ModelDataCollector: writes what a model gets and gives to files, one a day.

A collector never fails a request: what it can't write it drops, and says so in the log.
"""

import csv
import datetime
import fcntl
import hashlib
import io
import os
import re
import sys
import time
import uuid

ENABLED = "AML_MODEL_DC_STORAGE_ENABLED"
FOLDER = "FAIRLEAD_MODEL_DATA"
CORRELATION = "$aml_dc_correlation_id"
TIME = "$aml_dc_scoring_timestamp"
# A day's file is not written beyond this.
MOST_BYTES = 1 << 30
# So many bytes at the end of a file are searched for the last whole line.
LONGEST_LINE = 16 << 20
# Between two complaints of the same collector.
COMPLAINT_PAUSE = 60.0


class ModelDataCollector:
    """Collects the data of one designation ("inputs", "predictions", ...) of a model."""

    _said_off = False

    def __init__(
        self,
        model_name,
        designation="default",
        feature_names=None,
        workspace=None,
        webservice_name=None,
        model_version=None,
        collection_name=None,
        identifier=None,
    ):
        self.model_name = model_name
        self.designation = identifier or designation
        self.feature_names = None if feature_names is None else [str(n) for n in feature_names]
        self.enabled = os.environ.get(ENABLED, "").strip().lower() == "true" and bool(os.environ.get(FOLDER))
        self._dropped = 0
        self._complained = 0.0
        if self.enabled:
            version = model_version or _deployed_version(model_name) or "unversioned"
            parts = [model_name, version, self.designation]
            self._folder = os.path.join(os.environ[FOLDER], *[_file_name(str(p)) for p in parts])
        elif not ModelDataCollector._said_off:
            ModelDataCollector._said_off = True
            print("model data is not collected: collect_model_data of this version is off")

    def collect(self, input_data, user_correlation_id=""):
        """Writes one row, or several, with the id that ties them to a request."""
        if not self.enabled:
            return
        try:
            now = datetime.datetime.now(datetime.timezone.utc)
            names, rows = _table(input_data)
            if self.feature_names is not None:
                names = self.feature_names + names[len(self.feature_names) :]
            lead = [user_correlation_id or _request_id() or str(uuid.uuid4()), now.isoformat(timespec="milliseconds")]
            text = _csv([lead + row for row in rows])
            _append(os.path.join(self._folder, now.strftime("%Y/%m/%d")), _csv([[CORRELATION, TIME] + names]), text)
        except Exception as e:
            self._complain(e)

    def add_correlations(self, input_data, user_correlation_id=""):
        """Gives the data back: its rows get their id when they are collected."""
        return input_data

    def _complain(self, error):
        self._dropped += 1
        if time.monotonic() - self._complained < COMPLAINT_PAUSE and self._complained:
            return
        self._complained = time.monotonic()
        text = "model data of %s (%s) is dropped, %d times so far: %s: %s\n"
        sys.stderr.write(text % (self.model_name, self.designation, self._dropped, type(error).__name__, error))


def _table(data):
    """Names of columns and rows of values."""
    if hasattr(data, "columns") and hasattr(data, "itertuples"):
        return [str(c) for c in data.columns], [list(row) for row in data.itertuples(index=False)]
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, dict):
        return [str(k) for k in data], [list(data.values())]
    if not isinstance(data, (list, tuple)):
        data = [data]
    rows = [list(row) for row in data] if any(isinstance(row, (list, tuple)) for row in data) else [list(data)]
    return [str(i) for i in range(max((len(row) for row in rows), default=0))], rows


def _csv(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "backslashreplace")


def _append(folder, header, text):
    """Adds whole lines to the day's file: those that a crash or a full disk has cut off are taken out first."""
    os.makedirs(folder, exist_ok=True)
    for name in ("data.csv", "data-%s.csv" % hashlib.sha256(header).hexdigest()[:8]):
        fd = os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # Other workers and replicas write to the same file.
            fcntl.flock(fd, fcntl.LOCK_EX)
            end = _whole_lines(fd)
            if end and os.pread(fd, len(header), 0) != header:
                continue  # of other columns
            _write(fd, end, text if end else header + text)
            return
        finally:
            os.close(fd)


def _write(fd, end, text):
    if end + len(text) > MOST_BYTES:
        raise OSError("the file of the day is full: it has %d bytes, at most %d are possible" % (end, MOST_BYTES))
    written = 0
    try:
        while written < len(text):
            written += os.pwrite(fd, text[written:], end + written)
    except OSError:
        os.ftruncate(fd, end)
        raise


def _whole_lines(fd):
    """Cuts off what is no whole line and gives the size."""
    size = os.fstat(fd).st_size
    start = max(0, size - LONGEST_LINE)
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size
    end = start + os.pread(fd, size - start, start).rfind(b"\n") + 1
    os.ftruncate(fd, end)
    return end


def _request_id():
    return getattr(sys.stdout, "tag", "").strip("[] ")


def _deployed_version(model_name):
    from azureml.core.model import deployed_version

    return deployed_version(model_name)


def _file_name(text):
    """A name that leads nowhere else."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:255]
    return "_" + name if name.startswith(".") or not name else name
