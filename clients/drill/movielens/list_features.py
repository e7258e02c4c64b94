"""Id lists and weighted id lists: what a movie is made of, what a user did and likes."""

from collections.abc import Iterator

import numpy as np

from clients.drill.columns import AnyFloats, Column, id_list, weighted_id_list
from clients.drill.movielens.catalogue import Tags
from clients.drill.movielens.history import Ints
from clients.drill.movielens.numeric_features import AFFINITY_PRIOR, genre_affinities, like_rate
from clients.drill.movielens.timeline import (
    ACTORS,
    AWARDS,
    COUNTRIES,
    DIRECTORS,
    GRAPH_GENRES,
    LIKED_FROM,
    NOMINATIONS,
    PRODUCERS,
    SUBJECTS,
    WRITERS,
    Timeline,
)

RECENT = 20
GRAPH_LISTS: tuple[tuple[str, str, int, int], ...] = (
    ("graph_genres", GRAPH_GENRES, 12, 3),
    ("actors", ACTORS, 12, 3),
    ("directors", DIRECTORS, 4, 2),
    ("writers", WRITERS, 6, 2),
    ("producers", PRODUCERS, 6, 2),
    ("countries", COUNTRIES, 5, 2),
    ("subjects", SUBJECTS, 5, 2),
    ("award_nominations_list", NOMINATIONS, 16, 3),
    ("awards_won_list", AWARDS, 12, 3),
)


def list_features(timeline: Timeline) -> Iterator[Column]:
    """All list columns: null where the catalogue knows nothing, empty where nothing happened."""
    yield from _movie_lists(timeline)
    yield from _history_lists(timeline)
    yield from _affinities(timeline)
    yield from _weighted_histories(timeline)
    yield from _audiences(timeline)


def _movie_lists(timeline: Timeline) -> Iterator[Column]:
    catalogue, item = timeline.catalogue, timeline.item
    yield _tags("genres", catalogue.genres, item)
    yield _tags("title_words", catalogue.title_words, item)
    for name, relation, longest, fewest in GRAPH_LISTS:
        yield _tags(name, catalogue.related(relation, longest, fewest), item)


def _tags(name: str, tags: Tags, item: Ints) -> Column:
    return id_list(name, tags.ids[item], tags.cardinality, known=tags.count[item] > 0)


def _history_lists(timeline: Timeline) -> Iterator[Column]:
    history, liked = timeline.group("user").history, timeline.liked > 0
    movies, people = timeline.largest("item") + 1, timeline.largest("director") + 1
    recent = history.previous(RECENT)
    yield id_list("last_watched", _take(timeline.item, recent), movies)
    yield id_list("last_liked", _take(timeline.item, history.previous_where(liked, 20)), movies)
    yield id_list("last_disliked", _take(timeline.item, history.previous_where(~liked, 10)), movies)
    yield id_list("last_directors", _take(timeline.id("director"), recent[:, :10]), people)
    yield id_list("item_last_likers_occupations", _likers(timeline), 22)


def _likers(timeline: Timeline) -> Ints:
    rows = timeline.group("item").history.previous_where(timeline.liked > 0, 8)
    return _take(timeline.id("occupation"), rows)


def _affinities(timeline: Timeline) -> Iterator[Column]:
    affinity, known = genre_affinities(timeline)
    genres = np.arange(1, affinity.shape[1] + 1)
    yield _weighted("genre_affinity", np.where(known, genres, 0), affinity)
    for name in ("decade", "content_rating"):
        yield _affinity(timeline, name)


def _affinity(timeline: Timeline, name: str) -> Column:
    """The user's smoothed like rate by one attribute of the movie, less their overall one."""
    counts, likes = _by_value(timeline, "user", name)
    own = like_rate(timeline, "user")[0][:, None]
    rate = (likes + AFFINITY_PRIOR * own) / (counts + AFFINITY_PRIOR)
    return _weighted(f"{name}_affinity", _values(counts), rate - own)


def _weighted_histories(timeline: Timeline) -> Iterator[Column]:
    history = timeline.group("user").history
    rows = history.previous(RECENT)
    opinion = (_take(timeline.events.rating, rows) - (LIKED_FROM - 0.5)) / 2.0
    movies, people = timeline.largest("item") + 1, timeline.largest("director") + 1
    yield weighted_id_list("recent_ratings", _take(timeline.item, rows), opinion, movies)
    directors = _take(timeline.id("director"), rows)
    yield weighted_id_list("director_opinions", directors, opinion, people)


def _audiences(timeline: Timeline) -> Iterator[Column]:
    for name in ("occupation", "age_bucket"):
        counts, likes = _by_value(timeline, "item", name)
        share = likes / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        yield _weighted(f"item_audience_{name}", _values(counts), share)


def _by_value(timeline: Timeline, owner: str, name: str) -> tuple[Ints, Ints]:
    """Events and likes before each row of the owner, by value of a key: int64 [N, values]."""
    history = timeline.group(owner).history
    flags = np.eye(timeline.largest(name) + 1, dtype=np.int64)[timeline.id(name)][:, 1:]
    return history.total(flags), history.total(flags * timeline.liked[:, None])


def _values(counts: Ints) -> Ints:
    return np.where(counts > 0, np.arange(1, counts.shape[1] + 1), 0)


def _weighted(name: str, ids: Ints, weights: AnyFloats) -> Column:
    return weighted_id_list(name, ids, weights, cardinality=ids.shape[1] + 1)


def _take(values: Ints, rows: Ints) -> Ints:
    """values[rows], and 0 where a row is -1."""
    return np.where(rows >= 0, values[rows], 0)
