"""The part of azureml.monitoring that entry scripts import."""

from .collector import ModelDataCollector

__all__ = ["ModelDataCollector"]
