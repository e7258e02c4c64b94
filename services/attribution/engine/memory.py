"""What was derived from constants alone, kept for as long as the checkpoint is."""

import threading
from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor


class Memory:
    """Named derivations, each made once. Safe to call from several threads."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}
        self._lasting: set[int] = set()
        self._lock = threading.RLock()

    def recall(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` answered the first time that the name was asked for."""
        if name not in self._made:
            with self._lock:
                if name not in self._made:
                    made = make()
                    self._lasting.add(id(made))
                    self._made[name] = made
        return self._made[name]

    def is_lasting(self, tensor: Tensor | None) -> bool:
        """Return whether a tensor is one that is kept here, so that its identity names it."""
        return tensor is None or id(tensor) in self._lasting

    def of_kind(self, kind: type[Any]) -> list[Any]:
        """Return what is kept that is of a type."""
        return [made for made in self._made.values() if isinstance(made, kind)]
