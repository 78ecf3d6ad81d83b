"""The base of all parameter types."""

import abc

from ._swagger import versions_of


class AbstractParameterType(abc.ABC):
    """A type, known by a sample: converts JSON values to it and describes it."""

    def __init__(self, sample_input):
        self.sample_input = sample_input
        self.sample_data_type = type(sample_input)

    @abc.abstractmethod
    def deserialize_input(self, input_data):
        """The value of the type for a JSON value."""

    @abc.abstractmethod
    def input_to_swagger(self):
        """The swagger schema, with the sample as its example."""

    def supported_versions(self):
        """The versions of swagger that can describe the type."""
        return versions_of(self.input_to_swagger().get("example"))
