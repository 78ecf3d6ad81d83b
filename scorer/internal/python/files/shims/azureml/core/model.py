"""Model: where the files of a registered model lie."""

import os


class Model:
    """Finds models by name below the models root, which has <name>/<version>/<files>."""

    @staticmethod
    def get_model_path(model_name, version=None, _workspace=None):
        """What was registered: the model's file or folder; the highest version when none is given."""
        root = os.environ.get("FAIRLEAD_MODELS_ROOT", "")
        if not root:
            raise FileNotFoundError("model %r can't be found: this deployment has no models" % model_name)
        names = _entries(root)
        if model_name not in names:
            raise FileNotFoundError("model %r is not deployed here; there is: %s" % (model_name, _list(names)))
        versions = sorted(_entries(os.path.join(root, model_name)), key=_version_key)
        chosen = versions[-1] if version is None and versions else str(version)
        if chosen not in versions:
            text = "version %s of model %r is not deployed here; there is: %s"
            raise FileNotFoundError(text % (version, model_name, _list(versions)))
        folder = os.path.join(root, model_name, chosen)
        entries = _entries(folder)
        return os.path.join(folder, entries[0]) if len(entries) == 1 else folder


def deployed_version(model_name):
    """The highest version of a model that is deployed here, or None."""
    root = os.environ.get("FAIRLEAD_MODELS_ROOT", "")
    versions = sorted(_entries(os.path.join(root, model_name)), key=_version_key) if root and model_name in _entries(root) else []
    return versions[-1] if versions else None


def _entries(folder):
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _version_key(version):
    return (1, int(version), "") if version.isdigit() else (0, 0, version)


def _list(names):
    return ", ".join(names) or "nothing"
