"""What the plan guarantees, said to the reader and to the type checker."""

from typing import TypeVar

T = TypeVar("T")


def sure(value: T | None) -> T:
    """Return a value that cannot be None here.

    Raises:
        LookupError: it is, which is a mistake of the engine.
    """
    if value is None:
        raise LookupError("the plan and the graph disagree")
    return value
