"""When an edge was there, from what its sender told, in whatever order the news came.

Times are microseconds since the epoch.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FOREVER = 2**62
NEVER = -(2**62)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Return a time in microseconds."""
    return (time - _EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """Return the time that lies so many microseconds after the epoch."""
    return _EPOCH + time * _MICROSECOND


@dataclass
class Span:
    """The edge was there from `start` to before `end`, and told of at `last` for the last time.

    An empty span remembers an end that came before the news of what it ended.
    """

    start: int
    end: int
    last: int


def tell(spans: list[Span], at: int) -> None:
    """Take in that the edge was there at that time; `spans` rise in time.

    >>> spans = [Span(5, 9, 5)]
    >>> tell(spans, 2), tell(spans, 12)
    (None, None)
    >>> spans
    [Span(start=2, end=9, last=5), Span(start=12, end=4611686018427387904, last=12)]
    """
    for span in spans:
        if at < span.start:
            span.start, span.last = at, max(span.last, at)
            return
        if at < span.end:
            span.last = max(span.last, at)
            return
    spans.append(Span(at, FOREVER, at))


def finish(spans: list[Span], at: int) -> None:
    """Take in that the edge was no more from that time on; told of at the same time, it stays.

    Whether the edge is there now does not depend on the order in which the news came. Of the past
    one thing does: where an end comes to be known after the edge was told of again, the edge is
    taken to be back only from when it was told of last.

    >>> spans = [Span(1, FOREVER, 4)]
    >>> finish(spans, 9)
    >>> spans
    [Span(start=1, end=9, last=4)]
    """
    for place, span in enumerate(spans):
        if at < span.start:
            spans.insert(place, Span(at, at, NEVER))
            return
        if at < span.end:
            if at not in (span.start, span.last):
                spans[place : place + 1] = _cut(span, at)
            return
        if at == span.end:
            return
    spans.append(Span(at, at, NEVER))


def _cut(span: Span, at: int) -> list[Span]:
    if at < span.last:
        return [Span(span.start, at, span.start), Span(span.last, span.end, span.last)]
    shorter = Span(span.start, at, span.last)
    return [shorter] if span.end == FOREVER else [shorter, Span(span.end, span.end, NEVER)]
