"""The owner of a model, who listens for what comes."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import aftershock
from aftershock.v1.lineage_pb2 import PropagationWarning


@dataclass
class Watcher:
    """Follows the warnings of its client's model on a thread, until that is closed."""

    client: aftershock.Client
    warnings: list[tuple[float, PropagationWarning]] = field(default_factory=list)
    """With the times at which they came, monotonic."""

    def __post_init__(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def first(self) -> float | None:
        """When the first warning came."""
        return self.warnings[0][0] if self.warnings else None

    def _listen(self) -> None:
        # It ends when its client is closed.
        with suppress(aftershock.AftershockError):
            for warning in self.client.watch_propagation():
                self.warnings.append((time.monotonic(), warning))
