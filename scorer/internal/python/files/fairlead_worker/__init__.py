"""The Python side of a scorer worker. Written for Python 3.7 and later, standard library only."""
