"""Run: what entry scripts that were written for training log to."""

import uuid


class Run:
    """A run outside of any experiment: what is logged to it is printed."""

    def __init__(self):
        self.id = "OfflineRun_" + str(uuid.uuid4())
        self.tags = {}

    @classmethod
    def get_context(cls, allow_offline=True, used_for_context_manager=False, **kwargs):
        """The run that the script is in. While serving there is none, so it is one of its own."""
        if not allow_offline:
            raise RuntimeError("an entry script runs outside of any experiment: Run.get_context(allow_offline=False) has no run to give")
        return cls()

    def log(self, name, value, description="", step=None):
        print("%s: %s" % (name, value))

    def log_list(self, name, value, description=""):
        self.log(name, value)

    def log_row(self, name, description=None, **kwargs):
        self.log(name, kwargs)

    def log_table(self, name, value, description=""):
        self.log(name, value)

    def tag(self, key, value=None):
        self.tags[key] = value

    def set_tags(self, tags):
        self.tags.update(tags)

    def get_tags(self):
        return dict(self.tags)

    def flush(self, timeout_seconds=300):
        """Everything is printed already."""

    def complete(self, _set_status=True):
        """There is nothing to end."""
