"""Loads an entry script and checks that it has the functions a scorer calls."""

import importlib.util
import inspect
import os
import sys
import traceback
import types

from . import forms, logs

TREE_LINES = 200
POSITIONAL_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
HEADERS = "request_headers"
# What modules are called where they are installed from, when that is another name.
PACKAGES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "inference_schema": "inference-schema",
    "pkg_resources": "setuptools",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
WORKER_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class LoadError(Exception):
    """The script can't serve: reason is a stable word, cause one line for people, detail the traceback and what helps to read it."""

    def __init__(self, cause, detail="", reason="ScriptError"):
        super().__init__(cause)
        self.reason = reason
        self.cause = cause
        self.detail = detail


class Script:
    def __init__(self, run, form, wants_headers, schema):
        self.run = run
        self.form = form
        self.wants_headers = wants_headers
        self._schema = schema

    def facts(self):
        """What the scorer needs to know of the script."""
        facts = {"request_headers": self.wants_headers, "form": self.form.name}
        if self._schema:
            facts["schema"] = self._schema
        return facts


def load(path, source_dir):
    """Imports the script, checks init and run, calls init."""
    folder = os.path.dirname(path)
    for entry in (source_dir, folder):
        if entry and entry not in sys.path[:1]:
            sys.path.insert(0, entry)
    logs.install()
    module = _guarded("importing %s" % os.path.basename(path), lambda: _import(path))
    init = _function(module, path, "init")
    run = _behind_driver(module) or _function(module, path, "run")
    form, wants_headers = _run_form(run)
    schema = _guarded("describing run()", lambda: forms.swagger_schema(run))
    _check_init(init, path)
    try:
        _guarded("init()", init)
    except LoadError as e:
        e.detail += model_tree()
        raise
    return Script(run, form, wants_headers, schema)


def format_error(error):
    """The traceback without the frames of this worker and of the import system."""
    text = traceback.TracebackException.from_exception(error)
    frames = [f for f in text.stack if not f.filename.startswith((WORKER_FOLDER, "<frozen importlib"))]
    text.stack = traceback.StackSummary.from_list(frames)
    return "".join(text.format())


def model_tree():
    """What lies in the model folder, at most TREE_LINES lines."""
    root = os.environ.get("AZUREML_MODEL_DIR", "")
    if not root:
        return "AZUREML_MODEL_DIR is not set\n"
    lines = ["AZUREML_MODEL_DIR is %s and has:" % root]
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files) or ([] if folders else [""]):
            lines.append("  " + os.path.relpath(os.path.join(folder, name), root))
            if len(lines) > TREE_LINES:
                return "\n".join(lines[:TREE_LINES]) + "\n  ...\n"
    return "\n".join(lines) + "\n"


def _import(path):
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:
        name = "entry_script"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise LoadError("the entry script %s is not a Python file" % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _function(module, path, name):
    function = getattr(module, name, None)
    if not callable(function):
        text = "the entry script %s has no function %s(): add it"
        raise LoadError(text % (os.path.basename(path), name), reason="NoInit" if name == "init" else "NoRun")
    return function


def _behind_driver(module):
    """The run() of the script that a generated script only passes on to; its init() does more than that."""
    driven = getattr(module, "driver_module", None)
    return getattr(driven, "run", None) if isinstance(driven, types.ModuleType) else None


def _run_form(run):
    """In which form run() takes its input, and whether it wants the request's headers."""
    parameters = inspect.signature(run).parameters.values()
    if any(p.kind in POSITIONAL_KINDS for p in parameters):
        raise LoadError("run() cannot accept positional-only arguments, *args, or **kwargs.")
    data = [p for p in parameters if p.name != HEADERS]
    wants_headers = len(data) < len(parameters)
    if not data:
        other = ' other than "%s"' % HEADERS if wants_headers else " for input data"
        raise LoadError("run() needs to accept an argument%s." % other)
    try:
        return forms.choose(run, data), wants_headers
    except ValueError as e:
        raise LoadError(str(e))


def _check_init(init, path):
    needed = [
        p.name
        for p in inspect.signature(init).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise LoadError(
            "init() is called without arguments, but %s defines init(%s)" % (os.path.basename(path), ", ".join(needed)),
            model_tree(),
        )


def _guarded(what, action):
    """Calls action; whatever it raises becomes a LoadError with a plain cause."""
    try:
        return action()
    except LoadError:
        raise
    except SystemExit as e:
        raise LoadError("%s called sys.exit(%s)%s" % (what, "" if e.code is None else e.code, _at(e)), format_error(e))
    except ModuleNotFoundError as e:
        raise LoadError(_missing(e, _at(e)), format_error(e), "MissingPackage")
    except SyntaxError as e:
        where = "%s line %s" % (os.path.basename(e.filename or "the script"), e.lineno)
        raise LoadError("%s: %s: %s" % (where, type(e).__name__, e.msg), format_error(e))
    except BaseException as e:
        raise LoadError("%s raised %s%s" % (what, one_line(e), _at(e)), format_error(e))


def _at(error):
    """Where in the user's files the error came up: the last of their lines that led to it."""
    here = os.path.realpath(os.environ.get("AML_APP_ROOT") or ".")
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        path = os.path.realpath(frame.filename)
        if path.startswith(here + os.sep):
            return " (%s, line %d)" % (os.path.relpath(path, here), frame.lineno)
    return ""


def one_line(error):
    return ("%s: %s" % (type(error).__name__, error)).replace("\n", " ")


def _missing(error, where):
    name = error.name or str(error)
    root = name.partition(".")[0]
    if root != name and root in sys.modules:
        return "the script needs the module %s, which the installed %s does not have%s" % (name, root, where)
    text = "the script needs a package that is not installed: %s%s; add %s to the environment"
    return text % (root, where, PACKAGES.get(root, root))
