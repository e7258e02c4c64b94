"""Categorical features: who, what, when, and what came last."""

from collections.abc import Iterator

import numpy as np

from clients.drill.columns import Column, categorical
from clients.drill.movielens.history import Ints
from clients.drill.movielens.timeline import Timeline

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
    "company",
    "country",
    "language",
    "content_rating",
)
MOOD_EVENTS = 10
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
    yield categorical("user_mood_id", _mood(timeline), MOOD_EVENTS + 2)
    yield categorical("item_stars_id", _stars(timeline), 10)
    for name in ("user", "item", "director"):
        yield categorical(f"{name}_activity_id", _bucket(timeline, name), len(COUNT_EDGES) + 1)


def _mood(timeline: Timeline) -> Ints:
    """One more than the likes among the user's last events, 0 for a user without any."""
    history = timeline.group("user").history
    likes = history.total_of_last(timeline.liked, MOOD_EVENTS)
    return np.where(history.count() > 0, likes + 1, 0)


def _stars(timeline: Timeline) -> Ints:
    """The movie's mean rating in half stars from 1 (one star) to 9 (five), 0 without a rating."""
    history = timeline.group("item").history
    mean = history.total(timeline.events.rating) / np.maximum(history.count(), 1)
    return np.where(history.count() > 0, np.rint(2 * mean).astype(np.int64) - 1, 0)


def _bucket(timeline: Timeline, name: str) -> Ints:
    group = timeline.group(name).history
    bucket = np.searchsorted(COUNT_EDGES, group.count(), side="right")
    return np.where(group.known, bucket, 0)


def _cardinality(timeline: Timeline, name: str) -> int:
    """Bounded by the catalogue, never by the events, so that a longer timeline changes nothing."""
    return timeline.largest(name) + 1
