"""Numeric features: running statistics, affinities, profile and context."""

from collections.abc import Iterator

import numpy as np

from clients.drill.columns import AnyFloats, Column, numeric
from clients.drill.movielens.catalogue import Catalogue
from clients.drill.movielens.history import Floats, Ints, Mask
from clients.drill.movielens.timeline import AWARDS, DAY, NOMINATIONS, Timeline

USUAL_RATE = 0.55
USUAL_RATING = 3.5
NEVER = 15.0  # log seconds: half the length of the timeline
PRIOR_EVENTS = 10.0
AFFINITY_PRIOR = 3.0
LIFT_PRIOR = 4.0

RATES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("user", "session"),
    ("item",),
    ("director",),
    ("actor",),
    ("writer",),
    ("producer",),
    ("company",),
    ("country",),
    ("language",),
    ("content_rating",),
    ("genre",),
    ("genre_combination",),
    ("release_year",),
    ("decade",),
    ("gender",),
    ("age_bucket",),
    ("occupation",),
    ("zip_region",),
    ("zip_prefix",),
    ("hour",),
    ("user", "genre"),
    ("user", "decade"),
    ("user", "director"),
    ("user", "actor"),
    ("user", "country"),
    ("user", "content_rating"),
    ("gender", "item"),
    ("age_bucket", "item"),
    ("occupation", "item"),
    ("gender", "genre"),
    ("age_bucket", "genre"),
    ("occupation", "genre"),
    ("zip_region", "genre"),
)
COUNTS: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("user", "session"),
    ("item",),
    ("director",),
    ("actor",),
    ("writer",),
    ("company",),
    ("zip_prefix",),
    ("genre_combination",),
    ("user", "genre"),
    ("user", "decade"),
    ("user", "director"),
    ("user", "actor"),
    ("user", "country"),
    ("gender", "item"),
    ("age_bucket", "item"),
    ("occupation", "item"),
)
RECENCIES: tuple[tuple[str, ...], ...] = (
    ("user",),
    ("item",),
    ("director",),
    ("actor",),
    ("zip_prefix",),
    ("user", "genre"),
    ("user", "decade"),
    ("user", "director"),
    ("gender", "item"),
)
RATINGS: tuple[tuple[str, ...], ...] = (("user",), ("item",), ("director",), ("user", "genre"))
RECENT_RATES: tuple[tuple[tuple[str, ...], int], ...] = (
    (("user",), 5),
    (("user",), 20),
    (("item",), 20),
    (("director",), 20),
    (("genre_combination",), 50),
    (("gender", "item"), 10),
)
LIFTS: tuple[tuple[tuple[str, ...], int | None], ...] = (
    (("user",), None),
    (("user",), 50),
    (("user",), 10),
    (("user", "genre"), None),
    (("user", "decade"), None),
)
TRENDS: tuple[tuple[str, int], ...] = (("item", 1), ("item", 7), ("director", 7), ("actor", 7))


def numeric_features(timeline: Timeline) -> Iterator[Column]:
    """All numeric columns; values that would need a past that is not there are null."""
    yield from _profile(timeline)
    yield from _movie(timeline)
    yield from _context(timeline)
    yield from _running_statistics(timeline)
    yield from _taste(timeline)
    yield from _genre_affinities(timeline)


def _profile(timeline: Timeline) -> Iterator[Column]:
    age = timeline.catalogue.age[timeline.user]
    yield numeric("user_age", age, baseline=32.0)
    yield numeric("user_sessions", timeline.session, baseline=1.0)


def _movie(timeline: Timeline) -> Iterator[Column]:
    catalogue, item = timeline.catalogue, timeline.item
    year = catalogue.year[item]
    now = (timeline.seconds // DAY) / 365.25 + 1970.0
    yield numeric("release_year", year, 1990.0, known=year > 0)
    yield numeric("movie_age_years", now - year, 7.0, known=year > 0)
    yield numeric("title_length", catalogue.title_length[item], 16.0)
    yield numeric("genre_count", catalogue.genres.count[item], 2.0)
    yield from _graph_counts(catalogue, item)


def _graph_counts(catalogue: Catalogue, item: Ints) -> Iterator[Column]:
    relations = {"award_nominations": NOMINATIONS, "awards_won": AWARDS}
    for name, relation in relations.items():
        counts = catalogue.related_count(relation)[item]
        yield numeric(name, counts, 0.0, known=counts >= 0)


def _context(timeline: Timeline) -> Iterator[Column]:
    yield numeric("hour", timeline.hour, 12.0)
    yield numeric("weekday", timeline.weekday, 3.0)


def _running_statistics(timeline: Timeline) -> Iterator[Column]:
    for names in RATES:
        rate, seen = like_rate(timeline, *names)
        yield numeric(f"{_joined(names)}_like_rate", rate, USUAL_RATE, seen)
    for names in COUNTS:
        count = timeline.group(*names).history.count()
        yield numeric(f"{_joined(names)}_count", np.log1p(count), 0.0, _known(timeline, names))
    for names in RECENCIES:
        since = timeline.seconds - timeline.group(*names).history.last(timeline.seconds, 0)
        yield numeric(f"{_joined(names)}_recency", np.log1p(since), NEVER, timeline.seen(*names))
    for names in RATINGS:
        yield numeric(
            f"{_joined(names)}_mean_rating",
            _mean_rating(timeline, names),
            USUAL_RATING,
            timeline.seen(*names),
        )
    for names, k in RECENT_RATES:
        yield _recent_rate(timeline, names, k)
    surprise = _surprise(timeline)
    for names, window in LIFTS:
        yield _lift(timeline, names, window, surprise)
    for name, days in TRENDS:
        count = timeline.group(name).history.count_within(timeline.seconds, days * DAY)
        known = _known(timeline, (name,))
        yield numeric(f"{name}_count_{days}d", np.log1p(count), 0.0, known)


def like_rate(timeline: Timeline, *names: str) -> tuple[Floats, Mask]:
    """Smoothed share of likes before each row, [N], and where the group has occurred before."""
    history = timeline.group(*names).history
    likes, count = history.total(timeline.liked), history.count()
    rate = (likes + PRIOR_EVENTS * _base_rate(timeline)) / (count + PRIOR_EVENTS)
    return rate, timeline.seen(*names)


def _base_rate(timeline: Timeline) -> Floats:
    likes, events = timeline.base_rate.T
    return np.asarray((likes + 100.0 * USUAL_RATE) / (events + 100.0))


def _mean_rating(timeline: Timeline, names: tuple[str, ...]) -> Floats:
    history = timeline.group(*names).history
    total = history.total(timeline.events.rating)
    return np.asarray((total + 5.0 * USUAL_RATING) / (history.count() + 5.0))


def _recent_rate(timeline: Timeline, names: tuple[str, ...], k: int) -> Column:
    history = timeline.group(*names).history
    likes = history.total_of_last(timeline.liked, k)
    rate = likes / np.clip(history.count(), 1, k)
    return numeric(f"{_joined(names)}_like_rate_last_{k}", rate, USUAL_RATE, timeline.seen(*names))


def _surprise(timeline: Timeline) -> Ints:
    """Label less the movie's like rate before the event, in thousandths so that sums are exact."""
    expected = np.rint(1000.0 * like_rate(timeline, "item")[0]).astype(np.int64)
    return 1000 * timeline.liked - expected


def _lift(timeline: Timeline, names: tuple[str, ...], window: int | None, surprise: Ints) -> Column:
    """How much more the group has liked than others liked the same movies, smoothed."""
    history = timeline.group(*names).history
    most = len(timeline) if window is None else window
    total = history.total_of_last(surprise, most) / 1000.0
    lift = total / (np.minimum(history.count(), most) + LIFT_PRIOR)
    suffix = "lift" if window is None else f"lift_last_{window}"
    return numeric(f"{_joined(names)}_{suffix}", lift, 0.0, timeline.seen(*names))


def _taste(timeline: Timeline) -> Iterator[Column]:
    """How the movie compares with what the user has rated and liked so far."""
    user, catalogue = timeline.group("user").history, timeline.catalogue
    year = catalogue.year[timeline.item]
    dated = (year > 0).astype(np.int64)
    liked_dated = timeline.liked * dated
    mean_year = _ratio(user.total(year * liked_dated), user.total(liked_dated))
    popularity = timeline.group("item").history.count()
    mean_popularity = _ratio(user.total(popularity), user.count())
    rating = user.last(timeline.events.rating, 0)
    square = user.total(timeline.events.rating**2)
    mean = _ratio(user.total(timeline.events.rating), user.count())
    spread = np.sqrt(np.maximum(_ratio(square, user.count()) - mean**2, 0.0))
    yield numeric("user_last_rating", rating, 3.0, rating > 0)
    yield numeric("user_rating_spread", spread, 1.0, user.count() > 1)
    yield numeric("user_mean_liked_year", mean_year, 1990.0, mean_year > 0)
    gap = np.abs(year - mean_year)
    yield numeric("year_gap_to_liked", gap, 5.0, (mean_year > 0) & (year > 0))
    known = user.count() > 0
    yield numeric("user_mean_item_count", np.log1p(mean_popularity), 4.0, known)
    yield numeric("user_genre_overlap", _overlap(timeline), 0.0, known)


def _overlap(timeline: Timeline) -> Floats:
    """Share of the user's genre events that fall on the movie's genres."""
    counts, _ = genre_totals(timeline)
    flags = timeline.catalogue.genre_flags[timeline.item]
    return _ratio((counts * flags).sum(axis=1), counts.sum(axis=1))


def genre_totals(timeline: Timeline) -> tuple[Ints, Ints]:
    """The user's events and likes before each row by genre: two int64 [N, genres]."""
    history = timeline.group("user").history
    flags = timeline.catalogue.genre_flags[timeline.item]
    return history.total(flags), history.total(flags * timeline.liked[:, None])


def genre_affinities(timeline: Timeline) -> tuple[AnyFloats, Mask]:
    """The user's smoothed like rate by genre, less their overall one: [N, genres], and known."""
    counts, likes = genre_totals(timeline)
    own = like_rate(timeline, "user")[0][:, None]
    rate = (likes + AFFINITY_PRIOR * own) / (counts + AFFINITY_PRIOR)
    return rate - own, counts > 0


def _genre_affinities(timeline: Timeline) -> Iterator[Column]:
    affinity, known = genre_affinities(timeline)
    for genre in range(affinity.shape[1]):
        name = f"user_affinity_genre_{genre + 1}"
        yield numeric(name, affinity[:, genre], 0.0, known[:, genre])


def _ratio(numerator: Ints, denominator: Ints) -> Floats:
    return np.asarray(numerator / np.maximum(denominator, 1))


def _known(timeline: Timeline, names: tuple[str, ...]) -> Mask:
    return timeline.group(*names).history.known


def _joined(names: tuple[str, ...]) -> str:
    return "_".join(names)
