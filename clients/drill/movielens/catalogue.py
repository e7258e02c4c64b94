"""What is known of users and movies before anyone rates: static attributes as arrays by id.

Every array has one row per id of the data set, row 0 standing for nobody. In vocabularies 0 is
"unknown", so that known values start at 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clients.drill.movielens.history import Ints
from clients.drill.movielens.source import MovieLens

AGE_EDGES = (18, 25, 35, 45, 50, 56)
DECADE_OF_FIRST = 1920


@dataclass(frozen=True)
class Tags:
    """Lists of ids by movie: int64 [movies + 1, L], padded with 0; ids below `cardinality`."""

    ids: Ints
    cardinality: int

    @cached_property
    def first(self) -> Ints:
        """The first id of each movie, 0 where it has none."""
        return self.ids[:, 0]

    @cached_property
    def count(self) -> Ints:
        """How many ids each movie has."""
        return np.asarray((self.ids > 0).sum(axis=1))


@dataclass(frozen=True)
class Vocabulary:
    """Ids from 1 for strings; 0 for any other."""

    ids: Mapping[str, int]

    @classmethod
    def of(cls, words: Iterable[str], fewest: int = 1) -> "Vocabulary":
        """The words that occur at least `fewest` times: the most frequent first, then by name."""
        counts = Counter(words)
        kept = sorted((w for w in counts if counts[w] >= fewest), key=lambda w: (-counts[w], w))
        return cls({word: id_ for id_, word in enumerate(kept, start=1)})

    @property
    def cardinality(self) -> int:
        """One more than the largest id."""
        return len(self.ids) + 1

    def encode(self, words: Sequence[str]) -> Ints:
        """One id a word."""
        return np.array([self.ids.get(word, 0) for word in words], np.int64)


class Catalogue:
    """Arrays over users and movies, made once from the data set's static files."""

    def __init__(self, data: MovieLens) -> None:
        self._data = data
        self.user_count = max(user.user for user in data.users)
        self.movie_count = max(movie.item for movie in data.movies)

    @cached_property
    def age(self) -> Ints:
        """Years by user."""
        return self._by_user([user.age for user in self._data.users])

    @cached_property
    def age_bucket(self) -> Ints:
        """1 to 7, MovieLens' own age groups, by user."""
        bucket = np.searchsorted(AGE_EDGES, self.age, side="right") + 1
        bucket[0] = 0
        return bucket

    @cached_property
    def gender(self) -> Ints:
        """1 or 2 by user."""
        return self._by_user([" MF".index(user.gender) for user in self._data.users])

    @cached_property
    def occupation(self) -> Ints:
        """1 to 21 by user."""
        words = [user.occupation for user in self._data.users]
        return self._by_user(Vocabulary.of(words).encode(words))

    @cached_property
    def zip_region(self) -> Ints:
        """The first digit of a US zip code plus one, 0 for codes from elsewhere."""
        codes = [user.zip_code for user in self._data.users]
        return self._by_user([int(code[0]) + 1 if code.isdigit() else 0 for code in codes])

    @cached_property
    def zip_prefix(self) -> Ints:
        """The first three digits of a US zip code plus one, 0 for codes from elsewhere."""
        codes = [user.zip_code for user in self._data.users]
        return self._by_user([int(code[:3]) + 1 if code.isdigit() else 0 for code in codes])

    @cached_property
    def year(self) -> Ints:
        """Release year by movie, 0 where unknown."""
        return self._by_movie({m.item: m.year or 0 for m in self._data.movies})

    @cached_property
    def decade(self) -> Ints:
        """1 for the 1920s and so on, 0 where unknown."""
        return np.where(self.year > 0, (self.year - DECADE_OF_FIRST) // 10 + 1, 0)

    @cached_property
    def title_length(self) -> Ints:
        """Characters by movie."""
        return self._by_movie({m.item: len(m.title) for m in self._data.movies})

    @cached_property
    def genres(self) -> Tags:
        """The 18 genres of MovieLens."""
        return self._tags({m.item: m.genres for m in self._data.movies}, longest=6)

    @cached_property
    def genre_combination(self) -> Tags:
        """All genres of a movie as one id, if at least three movies share them."""
        combined = {m.item: ("|".join(m.genres),) for m in self._data.movies if m.genres}
        return self._tags(combined, longest=1, fewest=3)

    @cached_property
    def genre_flags(self) -> Ints:
        """0 or 1: int64 [movies + 1, genres], column g for the genre of id g + 1."""
        flags = np.zeros((self.movie_count + 1, self.genres.cardinality), np.int64)
        np.put_along_axis(flags, self.genres.ids, 1, axis=1)
        return flags[:, 1:]

    @cached_property
    def title_words(self) -> Tags:
        """Words of four letters or more that occur in at least three titles."""
        words = {
            m.item: tuple(w for w in m.title.lower().replace(",", " ").split() if len(w) > 3)
            for m in self._data.movies
        }
        return self._tags(words, longest=6, fewest=3)

    def related(self, relation: str, longest: int, fewest: int = 2) -> Tags:
        """Entities that the knowledge graph relates a movie to.

        Keeps entities of at least `fewest` movies, and the `longest` most frequent of a movie.
        """
        return self._tags(dict(self._data.knowledge.get(relation, {})), longest, fewest)

    def related_count(self, relation: str) -> Ints:
        """How many entities the relation has, by movie, -1 where the graph has none."""
        by_movie = self._data.knowledge.get(relation, {})
        counts = np.full(self.movie_count + 1, -1, np.int64)
        for item, entities in by_movie.items():
            counts[item] = len(entities)
        return counts

    def _tags(self, words: Mapping[int, tuple[str, ...]], longest: int, fewest: int = 1) -> Tags:
        vocabulary = Vocabulary.of((w for ws in words.values() for w in ws), fewest)
        ids = np.zeros((self.movie_count + 1, longest), np.int64)
        for item, ws in words.items():
            known = sorted({vocabulary.ids[w] for w in ws if w in vocabulary.ids})[:longest]
            ids[item, : len(known)] = known
        return Tags(ids, vocabulary.cardinality)

    def _by_user(self, values: Sequence[int] | Ints) -> Ints:
        array = np.zeros(self.user_count + 1, np.int64)
        array[[user.user for user in self._data.users]] = values
        return array

    def _by_movie(self, values: Mapping[int, int]) -> Ints:
        array = np.zeros(self.movie_count + 1, np.int64)
        array[list(values)] = list(values.values())
        return array
