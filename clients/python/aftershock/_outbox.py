"""Examples on their way: what waits, what is unanswered, and what became of the rest."""

import heapq
from dataclasses import dataclass, field, replace
from itertools import count

from aftershock._errors import ServiceError, Unavailable, error_of
from aftershock._log import LogStats
from aftershock.v1.attribution_service_pb2 import ComputeLfiResponse
from aftershock.v1.example_pb2 import ExampleBatch


@dataclass(frozen=True, order=True)
class Chunk:
    """One batch of the contract and its place in the order of sending."""

    place: int
    batch: ExampleBatch = field(compare=False)
    example_count: int = field(compare=False)

    @property
    def size(self) -> int:
        """Bytes of Arrow."""
        return len(self.batch.arrow_stream)


class Outbox:
    """Keeps each chunk until it is answered, so that a broken stream loses nothing.

    Takes chunks while it holds fewer bytes than its limit. Knows neither threads nor channels: the
    log that owns it holds the lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._places = count()
        self._waiting: list[Chunk] = []
        self._unanswered: dict[str, Chunk] = {}
        self._bytes = 0
        self.stats = LogStats()

    @property
    def has_room(self) -> bool:
        """Whether another chunk may come in."""
        return self._bytes < self._limit

    @property
    def is_empty(self) -> bool:
        """Whether every chunk was answered."""
        return not self._waiting and not self._unanswered

    def put(self, batch: ExampleBatch, example_count: int) -> None:
        """Take a chunk in."""
        chunk = Chunk(next(self._places), batch, example_count)
        heapq.heappush(self._waiting, chunk)
        self._bytes += chunk.size
        self._count(sent=example_count)

    def drop(self, example_count: int) -> None:
        """Count examples that never came in."""
        self._count(sent=example_count, dropped=example_count)

    def take(self) -> ExampleBatch | None:
        """Return the next batch to send, oldest first, which from now on is unanswered."""
        if not self._waiting:
            return None
        chunk = heapq.heappop(self._waiting)
        self._unanswered[chunk.batch.batch_id] = chunk
        return chunk.batch

    def rewind(self) -> None:
        """Let everything unanswered wait again: the stream that carried it broke."""
        for chunk in self._unanswered.values():
            heapq.heappush(self._waiting, chunk)
        self._unanswered = {}

    def settle(self, response: ComputeLfiResponse) -> ServiceError | None:
        """Account for an answer and return its error, if it is one.

        A chunk that was answered with Unavailable waits again, under the same id.
        """
        chunk = self._unanswered.pop(response.batch_id, None)
        if chunk is None:
            return None
        if not response.HasField("error"):
            self._bytes -= chunk.size
            duplicate = response.receipt.duplicate
            self._count(**{"duplicate" if duplicate else "accepted": chunk.example_count})
            return None
        error = error_of(response.error)
        if isinstance(error, Unavailable):
            heapq.heappush(self._waiting, chunk)
        else:
            self._bytes -= chunk.size
            self._count(refused=chunk.example_count)
        return error

    def discard(self) -> int:
        """Give up what is not answered and return how many examples that is."""
        lost = self.stats.pending
        self._waiting, self._unanswered, self._bytes = [], {}, 0
        self._count(dropped=lost)
        return lost

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self.stats, name) + n for name, n in more.items()}
        self.stats = replace(self.stats, **counts)
