"""Checkpoints in this process's memory."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from services.attribution.adapters.metrics import UNLOADED
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.errors import CheckpointNotFound, CheckpointRefused, NoRoom
from services.attribution.ports import Scorer

_log = logging.getLogger(__name__)
_PAUSE = 5.0


@dataclass
class _Held:
    scorer: Scorer
    last_used: int
    users: int = 0

    @property
    def checkpoint(self) -> Checkpoint:
        return self.scorer.checkpoint


class MemoryCheckpoints:
    """A CheckpointRepository that forgets everything when the process ends.

    With a budget, what was used least recently gives way to what is added.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        self._budget = budget_bytes
        self._held: dict[str, _Held] = {}
        self._leaving: list[_Held] = []
        """Forgotten, and still in use."""
        self._gave_way: dict[str, Checkpoint] = {}
        self._clock = count()
        self._lock = threading.Lock()

    def add(self, scorer: Scorer) -> Scorer:
        """Keep a checkpoint and return it, or the one that is there already."""
        checkpoint = scorer.checkpoint
        with self._lock:
            held = self._held.get(checkpoint.name)
            if held is None:
                self._make_room(scorer)
                held = self._held[checkpoint.name] = _Held(scorer, next(self._clock))
                self._gave_way.pop(checkpoint.name, None)
        if held.checkpoint.digest != checkpoint.digest:
            raise CheckpointRefused(
                f"another {checkpoint.name} is loaded, with the digest {held.checkpoint.digest}: "
                "give this one a version of its own, or unload the other"
            )
        return held.scorer

    def get(self, name: str) -> Scorer:
        """Return a checkpoint by its name, or a model's latest by the model's."""
        with self._lock:
            return self._find(name).scorer

    @contextmanager
    def using(self, name: str) -> Iterator[Scorer]:
        """Keep a checkpoint in memory for as long as the block runs."""
        with self._lock:
            held = self._find(name)
            held.users += 1
            held.last_used = next(self._clock)
        try:
            yield held.scorer
        finally:
            with self._lock:
                held.users -= 1
                self._leaving = [left for left in self._leaving if left.users]

    def names(self) -> Sequence[str]:
        """Return the names of all checkpoints, sorted."""
        with self._lock:
            return sorted(self._held)

    def remove(self, name: str) -> None:
        """Forget a checkpoint."""
        with self._lock:
            gave_way = self._gave_way.pop(name, None)
            held = self._held.pop(name, None)
            if held is not None and held.users:
                self._leaving.append(held)
        if held is None and gave_way is None:
            raise CheckpointNotFound(f"{name} is not loaded")

    def _find(self, name: str) -> _Held:
        """Return a checkpoint by name; a model's latest even if that had to give way."""
        known = self._gave_way | {n: held.checkpoint for n, held in self._held.items()}
        versions = [c for c in known.values() if f"models/{c.model}" == name]
        if versions:
            # Of equals, max returns the first it meets.
            name = max(reversed(versions), key=lambda c: c.trained_until).name
        if name in self._held:
            return self._held[name]
        cause = "had to give way to others in memory" if name in known else "is not loaded"
        raise CheckpointNotFound(
            f"{name} {cause}: load its folder, or name one that is loaded "
            "('aftershock checkpoints' shows them)"
        )

    def _make_room(self, scorer: Scorer) -> None:
        """Let those go that were used least recently, until there is room for another."""
        if self._budget is None:
            return
        name, size = scorer.checkpoint.name, scorer.size_bytes
        if size > self._budget:
            raise CheckpointRefused(
                f"{name} takes {size:,} bytes of memory, and checkpoints may take "
                f"{self._budget:,} together: raise checkpoint_memory_bytes, or shrink the model"
            )
        idle = sorted((h for h in self._held.values() if not h.users), key=lambda h: h.last_used)
        holding = [*self._held.values(), *self._leaving]
        excess = size + sum(h.scorer.size_bytes for h in holding) - self._budget
        if excess > sum(h.scorer.size_bytes for h in idle):
            raise NoRoom(
                f"there is no room for {name}, {size:,} bytes: all other checkpoints are in use; "
                "end a stream, raise checkpoint_memory_bytes, or load it elsewhere",
                retry_after=_PAUSE,
            )
        for held in idle:
            if excess <= 0:
                break
            excess -= held.scorer.size_bytes
            self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        name = held.checkpoint.name
        del self._held[name]
        self._gave_way[name] = held.checkpoint
        UNLOADED.inc()
        _log.info("unloaded checkpoint for lack of memory", extra={"checkpoint": name})
