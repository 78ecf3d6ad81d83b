"""The parts of azureml.core that entry scripts import."""

from .model import Model

__all__ = ["Model"]
