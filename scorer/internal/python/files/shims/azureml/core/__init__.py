"""The parts of azureml.core that entry scripts import."""

from .model import Model
from .run import Run

__all__ = ["Model", "Run"]
