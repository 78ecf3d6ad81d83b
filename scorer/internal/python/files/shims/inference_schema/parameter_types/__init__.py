"""The types that arguments and results are described with."""
