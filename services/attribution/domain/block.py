"""The importances of one batch, ready to be kept in a window."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.lfi import LfiMethod, SparseLfi
from services.attribution.domain.sketch import ValueSketch


class Population(Enum):
    """Which set of examples a batch was drawn from."""

    CONSIDERED = "CONSIDERED"
    DISPLAYED = "DISPLAYED"


@dataclass(frozen=True)
class Batch:
    """Examples of one population that a model scored at about the same time, still encoded."""

    batch_id: str
    population: Population
    event_time: datetime
    arrow_stream: bytes


@dataclass(frozen=True)
class LfiBlock:
    """A batch's importances, what its values looked like, and where it came from.

    Its id is the batch's.
    """

    batch: Batch
    checkpoint: Checkpoint
    method: LfiMethod
    lfi: SparseLfi
    sketch: ValueSketch


@dataclass(frozen=True)
class Receipt:
    """The window has the block."""

    duplicate: bool
    """It had it before: it counts once."""
