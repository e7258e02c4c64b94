"""Operations without a channel: they yield calls and are sent their answers, or their failures.

The sync and the async client drive the same generators, so that paging, naming and picking are
written once.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aftershock._methods import Answer, Method, Request

Item = TypeVar("Item")
Result = TypeVar("Result")

PAGE_SIZE = 100


@dataclass(frozen=True)
class Call(Generic[Request, Answer]):
    """One request to one method."""

    method: Method[Request, Answer]
    request: Request


Flow = Generator[Call[Any, Any], Any, Result]
"""An operation under way: yields calls, is sent answers or thrown failures, returns its result."""


def ask(method: Method[Request, Answer], request: Request) -> Flow[Answer]:
    """Send one request and return its answer."""
    answer: Answer = yield Call(method, request)
    return answer


def pages(
    method: Method[Any, Any],
    request: Any,
    items: Callable[[Any], Iterable[Item]],
    limit: int | None,
) -> Flow[list[Item]]:
    """Return the items of all pages, or the first `limit`."""
    found: list[Item] = []
    while limit is None or len(found) < limit:
        page = yield from ask(method, request)
        found.extend(items(page))
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    return found[:limit]
