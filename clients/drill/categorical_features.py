"""Categorical features: who, what, when, and what came last."""

from collections.abc import Iterator

import numpy as np

from clients.drill.columns import Column, categorical
from clients.drill.history import Ints
from clients.drill.timeline import Timeline

PLAIN = (
    "gender",
    "age_bucket",
    "occupation",
    "zip_region",
    "zip_prefix",
    "item",
    "release_year",
    "decade",
    "genre",
    "genre_combination",
    "director",
    "actor",
    "writer",
    "producer",
    "company",
    "country",
    "language",
    "content_rating",
    "subject",
)
COUNT_EDGES = (1, 3, 10, 30, 100, 300)


def categorical_features(timeline: Timeline) -> Iterator[Column]:
    """All categorical columns; the unknown id 0 is logged as null."""
    for name in PLAIN:
        yield categorical(f"{name}_id", timeline.id(name), _cardinality(timeline, name))
    yield categorical("hour_id", timeline.hour + 1, 25)
    yield categorical("weekday_id", timeline.weekday + 1, 8)
    user = timeline.group("user").history
    yield categorical("last_rating_id", user.last(timeline.events.rating, 0), 6)
    yield categorical(
        "last_genre_id", user.last(timeline.id("genre"), 0), _cardinality(timeline, "genre")
    )
    for name in ("user", "item", "director"):
        yield categorical(f"{name}_activity_id", _bucket(timeline, name), len(COUNT_EDGES) + 1)


def _bucket(timeline: Timeline, name: str) -> Ints:
    group = timeline.group(name).history
    bucket = np.searchsorted(COUNT_EDGES, group.count(), side="right")
    return np.where(group.known, bucket, 0)


def _cardinality(timeline: Timeline, name: str) -> int:
    """Bounded by the catalogue, never by the events, so that a longer timeline changes nothing."""
    return timeline.largest(name) + 1
