"""Which batches of a window are kept for previews.

A batch's priority is a hash of its id, so it is uniform, and the same whoever computes it and in
whatever order batches come. Kept are the batches of lowest priority, as many as fit: a uniform
sample with the batch as unit. While they hold too many examples, the population with more of them
gives up its batch of highest priority; so both come to have half of the sample, like half of the
weight, and a population that is alone has all of it. One batch always stays.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from services.aggregator.domain.block import Population

_PRIORITY_BYTES = 6


@dataclass(frozen=True)
class KeptBatch:
    """The examples of one batch, as they came."""

    priority: int
    population: Population
    example_count: int
    arrow_stream: bytes


def priority_of(block_id: str) -> int:
    """Return the batch's place in the order of sampling: 48 bits, lower is kept longer."""
    digest = hashlib.sha256(block_id.encode()).digest()
    return int.from_bytes(digest[:_PRIORITY_BYTES], "big")


def trim(batches: Iterable[KeptBatch], most_examples: int) -> list[KeptBatch]:
    """Return the batches that stay when at most `most_examples` examples may."""
    kept = sorted(batches, key=lambda batch: batch.priority)
    while len(kept) > 1 and sum(batch.example_count for batch in kept) > most_examples:
        larger = max(Population, key=lambda population: _examples(kept, population))
        kept.remove(next(b for b in reversed(kept) if b.population is larger))
    return kept


def _examples(batches: Iterable[KeptBatch], population: Population) -> int:
    return sum(batch.example_count for batch in batches if batch.population is population)
