"""What took long to work out is kept at hand, as far as there is room."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shelf(Generic[Value]):
    """Values by key; what was not looked at for longest makes room for others.

    >>> shelf = Shelf[str](room=10)
    >>> shelf.keep("a", "first", 6)
    >>> shelf.keep("b", "second", 6)
    >>> shelf.get("a"), shelf.get("b")
    (None, 'second')
    """

    def __init__(self, room: int) -> None:
        self.room = room
        """Bytes."""
        self.taken = 0
        """Bytes of what is kept."""
        self._kept: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """Return what is kept, None if nothing is."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of `size` bytes; one that is larger than all the room is not."""
        if size > self.room:
            return
        self.taken += size - self._kept.pop(key, (value, 0))[1]
        self._kept[key] = value, size
        while self.taken > self.room:
            self.taken -= self._kept.popitem(last=False)[1][1]
