"""The events as aligned arrays, and the keys by which features look back."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clients.drill.movielens.catalogue import Catalogue
from clients.drill.movielens.history import History, Ints, Mask
from clients.drill.movielens.source import Events, MovieLens

HOUR = 3600
DAY = 24 * HOUR
LIKED_FROM = 4
SESSION_GAP = HOUR

DIRECTORS = "film.film.directed_by"
ACTORS = "film.film.actor"
WRITERS = "film.film.written_by"
PRODUCERS = "film.film.produced_by"
COMPANIES = "film.film.production_companies"
COUNTRIES = "film.film.country"
LANGUAGES = "film.film.language"
CONTENT_RATINGS = "film.film.rating"
SUBJECTS = "film.film.subjects"
NOMINATIONS = "film.film.award_nomination"
AWARDS = "film.film.award_won"
GRAPH_GENRES = "film.film.genre"


@dataclass(frozen=True)
class Group:
    """Rows that share something: the key of each row and the past that goes with it."""

    keys: Ints
    history: History


class Timeline:
    """Events in the order of time with everything known about them when they happen.

    `rating` and `liked` are the outcome: features may use them through a `History` only.
    """

    def __init__(self, data: MovieLens, events: Events | None = None) -> None:
        self.catalogue = Catalogue(data)
        self.events = data.events if events is None else events
        self._groups: dict[tuple[str, ...], Group] = {}

    def __len__(self) -> int:
        return len(self.events)

    @property
    def user(self) -> Ints:
        """User id of each event."""
        return self.events.user

    @property
    def item(self) -> Ints:
        """Movie id of each event."""
        return self.events.item

    @property
    def seconds(self) -> Ints:
        """Unix time of each event."""
        return self.events.seconds

    @cached_property
    def liked(self) -> Ints:
        """The label: 1 for a rating of 4 or 5, else 0."""
        return (self.events.rating >= LIKED_FROM).astype(np.int64)

    @cached_property
    def hour(self) -> Ints:
        """Hour of the day, 0 to 23 (UTC)."""
        return self.seconds // HOUR % 24

    @cached_property
    def weekday(self) -> Ints:
        """Day of the week, 0 to 6, Monday is 0 (1 January 1970 was a Thursday)."""
        return (self.seconds // DAY + 3) % 7

    @cached_property
    def session(self) -> Ints:
        """The user's sessions so far: a new one starts after an hour without an event."""
        last = self.group("user").history.last(self.seconds, missing=-SESSION_GAP)
        starts = (self.seconds - last > SESSION_GAP).astype(np.int64)
        return self.group("user").history.total(starts) + starts

    @cached_property
    def base_rate(self) -> Ints:
        """Likes and events before each row over everyone: int64 [N, 2]."""
        both = np.stack([self.liked, np.ones_like(self.liked)], axis=1)
        return np.cumsum(both, axis=0) - both

    def group(self, *names: str) -> Group:
        """Rows grouped by one key, or by several together; unknown if any of them is."""
        if names not in self._groups:
            keys = np.zeros(len(self), np.int64)
            known = np.ones(len(self), bool)
            for name in names:
                part = self.key(name)
                known &= part >= 0
                keys = keys * (int(part.max(initial=0)) + 1) + part
            keys = np.where(known, keys, -1)
            self._groups[names] = Group(keys, History(keys))
        return self._groups[names]

    def key(self, name: str) -> Ints:
        """One id a row, -1 where unknown."""
        ids = self._ids(name)
        return ids if name in ("hour", "weekday") else np.where(ids > 0, ids, -1)

    def id(self, name: str) -> Ints:
        """One id a row, 0 where unknown."""
        return np.maximum(self.key(name), 0)

    def largest(self, name: str) -> int:
        """The largest id that the catalogue allows, whatever the events."""
        own = {"user": self.catalogue.user_count, "item": self.catalogue.movie_count}
        if name in own:
            return own[name]
        return int((self._by_user | self._by_item)[name].max())

    def seen(self, name: str, *more: str) -> Mask:
        """Where the key is known and has occurred before."""
        group = self.group(name, *more)
        return group.history.known & (group.history.count() > 0)

    def _ids(self, name: str) -> Ints:
        own = {"user": self.user, "item": self.item, "hour": self.hour, "weekday": self.weekday}
        if name in own:
            return own[name]
        if name == "session":
            return self.session
        by_user, by_item = self._by_user, self._by_item
        return by_user[name][self.user] if name in by_user else by_item[name][self.item]

    @cached_property
    def _by_user(self) -> dict[str, Ints]:
        catalogue = self.catalogue
        return {
            "gender": catalogue.gender,
            "age_bucket": catalogue.age_bucket,
            "occupation": catalogue.occupation,
            "zip_region": catalogue.zip_region,
            "zip_prefix": catalogue.zip_prefix,
        }

    @cached_property
    def _by_item(self) -> dict[str, Ints]:
        catalogue = self.catalogue
        return {
            "release_year": catalogue.year,
            "decade": catalogue.decade,
            "genre": catalogue.genres.first,
            "genre_combination": catalogue.genre_combination.first,
            "director": catalogue.related(DIRECTORS, 4).first,
            "actor": catalogue.related(ACTORS, 12, fewest=3).first,
            "writer": catalogue.related(WRITERS, 6).first,
            "producer": catalogue.related(PRODUCERS, 6).first,
            "company": catalogue.related(COMPANIES, 4).first,
            "country": catalogue.related(COUNTRIES, 5).first,
            "language": catalogue.related(LANGUAGES, 5).first,
            "content_rating": catalogue.related(CONTENT_RATINGS, 2).first,
            "subject": catalogue.related(SUBJECTS, 5).first,
        }
