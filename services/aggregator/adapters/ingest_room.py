"""How much may wait for the window store at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.aggregator.adapters.metrics import WAITING_BYTES
from services.chassis.errors import Overloaded

_RETRY_SECONDS = 1.0


@dataclass
class IngestRoom:
    """Room for the bytes of blocks between their arrival and their answer.

    When the store is slow, blocks are refused at the door instead of piling up in memory.
    """

    most_bytes: int
    _taken: int = field(default=0, init=False)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Take so many bytes until the block is left; one block always finds room.

        Raises:
            Overloaded: so much waits already that it has to come again.
        """
        if self._taken and self._taken + size > self.most_bytes:
            raise Overloaded(
                f"{self._taken} bytes of blocks wait for the window store already: send it again",
                _RETRY_SECONDS,
            )
        self._taken += size
        WAITING_BYTES.inc(size)
        try:
            yield
        finally:
            self._taken -= size
            WAITING_BYTES.dec(size)
