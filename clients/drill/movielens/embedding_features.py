"""Embeddings, plain and encoded: profiles computed here, vectors of the upstream models."""

from collections.abc import Iterator

import numpy as np

from clients.drill.columns import Column, embedding, encoded_embedding
from clients.drill.movielens.history import Floats, Ints
from clients.drill.movielens.timeline import Timeline
from clients.drill.movielens.upstream import Progress, rating_vectors, watch_vectors

RATINGS = 5
PROFILES: tuple[tuple[str, str], ...] = (
    ("user", "decade"),
    ("user", "country"),
    ("item", "occupation"),
    ("item", "age_bucket"),
)


def embedding_features(timeline: Timeline) -> Iterator[Column]:
    """Plain embeddings; null where the user or the movie has no past."""
    yield _genre_profile(timeline)
    yield _genre_vector(timeline)
    for owner, name in PROFILES:
        flags = np.eye(timeline.largest(name) + 1, dtype=np.int64)[timeline.id(name)][:, 1:17]
        yield _profile(timeline, owner, f"{owner}_{name}_profile", flags)
    ratings = np.eye(RATINGS, dtype=np.int64)[timeline.events.rating - 1]
    for owner in ("user", "item"):
        yield _profile(timeline, owner, f"{owner}_rating_histogram", ratings)


def encoded_features(timeline: Timeline, progress: Progress) -> Iterator[Column]:
    """The upstream models' vectors as float16, four to an int64."""
    user, item = rating_vectors(timeline, lambda share: progress(share * 0.7))
    yield encoded_embedding("user_embedding", user.values, user.known)
    yield encoded_embedding("item_embedding", item.values, item.known)
    user, item = watch_vectors(timeline, lambda share: progress(0.7 + share * 0.3))
    yield encoded_embedding("user_watch_embedding", user.values, user.known)
    yield encoded_embedding("item_watch_embedding", item.values, item.known)


def _genre_profile(timeline: Timeline) -> Column:
    """Likes minus dislikes by genre over the square root of all events before."""
    history = timeline.group("user").history
    flags = timeline.catalogue.genre_flags[timeline.item]
    balance = history.total(flags * (2 * timeline.liked - 1)[:, None])
    scale = np.maximum(history.count(), 1)[:, None]
    return embedding("user_genre_profile", balance / np.sqrt(scale) / 2.0, timeline.seen("user"))


def _genre_vector(timeline: Timeline) -> Column:
    flags = timeline.catalogue.genre_flags[timeline.item].astype(np.float64)
    count = flags.sum(axis=1, keepdims=True)
    return embedding("item_genre_vector", flags / np.sqrt(np.maximum(count, 1)), count[:, 0] > 0)


def _profile(timeline: Timeline, owner: str, name: str, flags: Ints) -> Column:
    """The shares in which the owner's events before fell on each flag."""
    total: Floats = timeline.group(owner).history.total(flags).astype(np.float64)
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1.0)
    return embedding(name, shares, timeline.seen(owner))
