"""Old names of modules that moved, so that old scripts and pickles load.

AliasFinder is the last on sys.meta_path: it is asked only when the real module is missing. ChildFinder is the first, for what lies
below an alias: the import system would find it through the real package's path and load it a second time.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys

# Moved modules whose new name is not the old one with an underscore in front.
RENAMED = {
    "sklearn.cluster.k_means_": "sklearn.cluster._kmeans",
    "sklearn.ensemble.gradient_boosting": "sklearn.ensemble._gb",
    "sklearn.tree.tree": "sklearn.tree._classes",
}
JOBLIB = "sklearn.externals.joblib"


def install():
    sys.meta_path.insert(0, ChildFinder())
    sys.meta_path.append(AliasFinder())


class ChildFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if not name.startswith("sklearn."):
            return None
        parent, _, last = name.rpartition(".")
        real = getattr(sys.modules.get(parent), "__name__", parent)
        if real == parent:
            return None
        return _alias(name, "%s.%s" % (real, last))


class AliasFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if not name.startswith("sklearn."):
            return None
        real = real_name(name)
        return None if real is None else _alias(name, real)


class AliasLoader(importlib.abc.Loader):
    """Gives the real module under the old name."""

    def __init__(self, real):
        self._real = real
        self._spec = None

    def create_module(self, spec):
        module = importlib.import_module(self._real)
        self._spec = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has put the alias's spec on the real module.
        module.__spec__ = self._spec


def real_name(name):
    """The present name of a moved module, or None."""
    if name == JOBLIB:
        return "joblib"
    if name in RENAMED:
        return RENAMED[name]
    parent, _, last = name.rpartition(".")
    if parent == "sklearn" or last.startswith("_"):
        return None
    return "%s._%s" % (parent, last.rstrip("_"))


def _alias(name, real):
    try:
        found = importlib.util.find_spec(real)
    except ImportError:
        return None
    return importlib.machinery.ModuleSpec(name, AliasLoader(real)) if found else None
