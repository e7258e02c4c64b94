"""How long to wait before a broken stream is opened again."""

import random

_FIRST, _LONGEST = 0.1, 5.0


class Backoff:
    """Pauses that double from 0.1 s to 5 s, each cut by up to a half so that callers spread."""

    def __init__(self) -> None:
        self._next = _FIRST

    def pause(self) -> float:
        """Return the next pause in seconds."""
        pause, self._next = self._next, min(self._next * 2, _LONGEST)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing

    def reset(self) -> None:
        """Start small again, after something worked."""
        self._next = _FIRST
