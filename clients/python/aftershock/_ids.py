"""Ids that are left out, and values that hold none."""

Ids = frozenset[int]


class NotIds(TypeError):
    """A value that holds no lists of ids."""
