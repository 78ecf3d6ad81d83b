"""The parts of azureml.contrib.services that entry scripts import."""
