"""Checkpoints in this process's memory."""

import threading
from collections.abc import Sequence

from services.attribution.domain.errors import CheckpointNotFound, CheckpointRefused
from services.attribution.ports import Scorer


class MemoryCheckpoints:
    """A CheckpointRepository that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._scorers: dict[str, Scorer] = {}
        self._lock = threading.Lock()

    def add(self, scorer: Scorer) -> Scorer:
        """Keep a checkpoint and return it, or the one that is there already."""
        checkpoint = scorer.checkpoint
        with self._lock:
            kept = self._scorers.setdefault(checkpoint.name, scorer)
        if kept.checkpoint.digest != checkpoint.digest:
            raise CheckpointRefused(
                f"another {checkpoint.name} is loaded, with the digest {kept.checkpoint.digest}: "
                "give this one a version of its own, or unload the other"
            )
        return kept

    def get(self, name: str) -> Scorer:
        """Return a checkpoint by its name, or a model's latest by the model's."""
        with self._lock:
            exact = self._scorers.get(name)
            versions = [s for s in self._scorers.values() if f"models/{s.checkpoint.model}" == name]
        if exact is not None:
            return exact
        if not versions:
            raise CheckpointNotFound(
                f"{name} is not loaded: load its folder with LoadCheckpoint, or name one that "
                "ListCheckpoints shows"
            )
        # Of equals, max returns the first it meets.
        return max(reversed(versions), key=lambda s: s.checkpoint.trained_until)

    def names(self) -> Sequence[str]:
        """Return the names of all checkpoints, sorted."""
        with self._lock:
            return sorted(self._scorers)

    def remove(self, name: str) -> None:
        """Forget a checkpoint."""
        with self._lock:
            if self._scorers.pop(name, None) is None:
                raise CheckpointNotFound(f"{name} is not loaded")
