from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.spans import FOREVER, Span, finish, tell

_News = tuple[int, bool]
_NEWS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12)


def history(news: Sequence[_News]) -> list[Span]:
    spans: list[Span] = []
    for at, is_there in news:
        (tell if is_there else finish)(spans, at)
    return spans


def is_there(spans: Sequence[Span], at: int) -> bool:
    return any(span.start <= at < span.end for span in spans)


def truth(news: Sequence[_News], at: int) -> bool:
    """The latest news up to then; told of at the same time, the edge stays."""
    return max(((time, there) for time, there in news if time <= at), default=(0, False))[1]


@given(_NEWS)
def test_in_order_of_time_the_whole_history_is_exact(news: list[_News]) -> None:
    # Told and ended at one time is told: as if the end had come first.
    news.sort()
    spans = history(news)
    assert [is_there(spans, at) for at in range(25)] == [truth(news, at) for at in range(25)]


@given(_NEWS)
def test_whether_an_edge_is_there_now_does_not_depend_on_the_order(news: list[_News]) -> None:
    assert is_there(history(news), 25) == truth(news, 25)


@given(_NEWS)
def test_the_same_news_again_change_nothing_that_can_be_asked(news: list[_News]) -> None:
    once, twice = history(news), history([*news, *news])
    assert is_there(once, 25) == is_there(twice, 25)


@given(_NEWS)
def test_spans_rise_in_time_and_keep_apart(news: list[_News]) -> None:
    spans = history(news)
    assert all(span.start <= span.end <= FOREVER for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
