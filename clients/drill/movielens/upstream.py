"""The upstream models: two factorisations whose vectors the click model receives encoded.

Both are refitted after every `REFIT` events on everything before, from where the last fit ended,
so that their spaces move slowly. Between two fits the movies' vectors stand still and a user's
vector follows the user's own past, event by event.

- Ratings: r = mean + bias of movie + bias of user + <user, movie>, by alternating least squares.
  Y. Hu, Y. Koren, C. Volinsky: "Collaborative Filtering for Implicit Feedback Datasets", 2008.
- Co-watching: leading singular vectors of the normalised user-movie matrix, by subspace iteration.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clients.drill.movielens.history import Ints, Mask
from clients.drill.movielens.timeline import Timeline

DIMENSION = 16
REFIT = 5_000
MEAN_RATING = 3.5
RIDGE = 8.0
BIAS_PRIOR = 5.0
RECENT = 20

Floats32 = npt.NDArray[np.float32]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Vectors:
    """float32 [N, DIMENSION] with the rows that have one."""

    values: Floats32
    known: Mask


@dataclass(frozen=True)
class Seen:
    """Everything rated so far, dense: float32 [users + 1, movies + 1] each."""

    flags: Floats32
    ratings: Floats32

    @classmethod
    def nothing(cls, users: int, movies: int) -> "Seen":
        """Before the first event."""
        shape = (users + 1, movies + 1)
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def add(self, user: Ints, item: Ints, rating: Ints) -> None:
        """Takes in the events of a block, int64 [n] each."""
        self.flags[user, item] = 1.0
        self.ratings[user, item] = rating


class RatingModel:
    """Alternating least squares; a vector is factors, then the bias as its last element."""

    def __init__(self, users: int, movies: int) -> None:
        rng = np.random.default_rng(0)
        self.items = rng.normal(0.0, 0.1, (movies + 1, DIMENSION)).astype(np.float32)
        self.items[:, -1] = 0.0
        self.gram = np.zeros((users + 1, DIMENSION, DIMENSION), np.float32)
        self.target = np.zeros((users + 1, DIMENSION), np.float32)

    def refit(self, seen: Seen) -> None:
        """One round of both sides over everything seen."""
        count = seen.flags.sum(axis=0)
        above = (seen.ratings - MEAN_RATING * seen.flags).sum(axis=0)
        self.items[:, -1] = above / (count + BIAS_PRIOR)
        residual = seen.ratings - seen.flags * (MEAN_RATING + self.items[:, -1])
        users = self._users(seen.flags, residual)
        free = users[:, :-1]
        left = residual - seen.flags * users[:, -1:]
        self.items[:, :-1] = _ridge(_grams(seen.flags.T, free), left.T @ free)
        self._users(seen.flags, residual)

    def _users(self, flags: Floats32, residual: Floats32) -> Floats32:
        regressors = self.regressors(np.arange(len(self.items)))
        self.gram = _grams(flags, regressors)
        self.target = residual @ regressors
        return _ridge(self.gram, self.target)

    def regressors(self, items: Ints) -> Floats32:
        """What a user's vector is multiplied with: the movie's, 1 in place of its bias."""
        vectors = self.items[items].copy()
        vectors[:, -1] = 1.0
        return vectors

    def follow(self, user: Ints, item: Ints, rating: Ints) -> Floats32:
        """The users' vectors just before each event of a block, taking in one after the other."""
        grams = np.empty((len(user), DIMENSION, DIMENSION), np.float32)
        targets = np.empty((len(user), DIMENSION), np.float32)
        regressors = self.regressors(item)
        residual = (rating - MEAN_RATING - self.items[item, -1]).astype(np.float32)
        for row, (who, x, r) in enumerate(zip(user, regressors, residual, strict=True)):
            grams[row] = self.gram[who]
            targets[row] = self.target[who]
            self.gram[who] += np.outer(x, x)
            self.target[who] += r * x
        return _ridge(grams, targets)


class WatchModel:
    """Leading right singular vectors of who watched what, scaled to the usual size of a vector."""

    def __init__(self, movies: int) -> None:
        rng = np.random.default_rng(1)
        self._basis, _ = np.linalg.qr(rng.normal(size=(movies + 1, DIMENSION)))
        self.items = np.zeros((movies + 1, DIMENSION), np.float32)

    def refit(self, seen: Seen) -> None:
        """Two rounds of subspace iteration over everything seen."""
        activity = np.sqrt(np.maximum(seen.flags.sum(axis=1, keepdims=True), 1.0))
        popularity = np.sqrt(np.maximum(seen.flags.sum(axis=0, keepdims=True), 1.0))
        matrix = seen.flags / activity / popularity
        for _ in range(2):
            basis, triangle = np.linalg.qr(matrix.T @ (matrix @ self._basis))
            self._basis = basis * np.where(np.diag(triangle) < 0, -1.0, 1.0)
        rows = np.linalg.norm(self._basis, axis=1, keepdims=True)
        self.items = (self._basis / np.maximum(rows, 1e-6)).astype(np.float32)


def rating_vectors(timeline: Timeline, progress: Progress) -> tuple[Vectors, Vectors]:
    """The rating model's vectors of the user and of the movie at each event."""
    model = RatingModel(timeline.largest("user"), timeline.largest("item"))
    users, items = _empty(timeline), _empty(timeline)
    for block, seen in _blocks(timeline, progress):
        if block.start:
            model.refit(seen)
        item = timeline.item[block]
        users[block] = model.follow(timeline.user[block], item, timeline.events.rating[block])
        items[block] = model.items[item]
    return (
        Vectors(users, timeline.seen("user")),
        Vectors(items, _fitted(timeline)),
    )


def watch_vectors(timeline: Timeline, progress: Progress) -> tuple[Vectors, Vectors]:
    """The watch model's vector of the movie, and the mean over the user's last 20 movies."""
    model = WatchModel(timeline.largest("item"))
    recent = timeline.group("user").history.previous(RECENT)
    watched = np.where(recent >= 0, timeline.item[recent], 0)
    users, items = _empty(timeline), _empty(timeline)
    for block, seen in _blocks(timeline, progress):
        if block.start:
            model.refit(seen)
        items[block] = model.items[timeline.item[block]]
        there = (watched[block] > 0)[..., None]
        total = (model.items[watched[block]] * there).sum(axis=1)
        users[block] = total / np.maximum(there.sum(axis=1), 1)
    known = timeline.seen("user") & (np.arange(len(timeline)) >= REFIT)
    return Vectors(users, known), Vectors(items, _fitted(timeline))


def _blocks(timeline: Timeline, progress: Progress) -> Iterator[tuple[slice, Seen]]:
    """The rows between two fits, with everything before them."""
    seen = Seen.nothing(timeline.largest("user"), timeline.largest("item"))
    for start in range(0, len(timeline), REFIT):
        block = slice(start, min(start + REFIT, len(timeline)))
        progress(start / len(timeline))
        yield block, seen
        seen.add(timeline.user[block], timeline.item[block], timeline.events.rating[block])


def _fitted(timeline: Timeline) -> Mask:
    """Where the movie had been rated before the last fit."""
    row = np.arange(len(timeline))
    first = np.full(timeline.largest("item") + 1, len(timeline))
    np.minimum.at(first, timeline.item, row)
    return np.asarray(first[timeline.item] < row // REFIT * REFIT)


def _grams(flags: Floats32, vectors: Floats32) -> Floats32:
    """Sum of v v' over each row's flagged columns: [rows, D, D]."""
    size = vectors.shape[1]
    squares = (vectors[:, :, None] * vectors[:, None, :]).reshape(len(vectors), size * size)
    return (flags @ squares).reshape(len(flags), size, size)


def _ridge(grams: Floats32, targets: Floats32) -> Floats32:
    """Solves (gram + RIDGE I) x = target for each row: [rows, D]."""
    regular = grams + RIDGE * np.eye(grams.shape[1], dtype=np.float32)
    return np.linalg.solve(regular, targets[..., None])[..., 0]


def _empty(timeline: Timeline) -> Floats32:
    return np.zeros((len(timeline), DIMENSION), np.float32)
