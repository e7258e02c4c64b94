"""What is checked of every part: its fields, its texts, how many there are."""

from collections.abc import Iterator
from typing import Any

Json = Any


def fields(node: Json, where: str, needed: set[str], allowed: set[str]) -> Iterator[str]:
    """Fields that are missing, and fields that Slack does not know."""
    if not isinstance(node, dict):
        yield f"{where}: must be an object"
        return
    for name in sorted(needed - node.keys()):
        yield f"{where}: missing required field: {name}"
    for name in sorted(node.keys() - needed - allowed):
        yield f"{where}/{name}: unknown field"


def text(value: Json, where: str, most: int, least: int = 1) -> Iterator[str]:
    """Whether it is a string of such a length."""
    if not isinstance(value, str):
        yield f"{where}: must be a string"
    elif len(value) > most:
        yield f"{where}: must be no more than {most} characters, has {len(value)}"
    elif len(value) < least:
        yield f"{where}: must be at least {least} characters"


def plain(node: Json, where: str, most: int) -> Iterator[str]:
    """Whether it is plain text of such a length."""
    yield from fields(node, where, {"type", "text"}, {"emoji"})
    if isinstance(node, dict):
        if node.get("type") != "plain_text":
            yield f"{where}/type: must be plain_text"
        yield from text(node.get("text"), f"{where}/text", most)


def any_text(node: Json, where: str, most: int) -> Iterator[str]:
    """Whether it is plain text or markup of such a length."""
    if isinstance(node, dict) and node.get("type") == "mrkdwn":
        yield from fields(node, where, {"type", "text"}, {"verbatim"})
        yield from text(node.get("text"), f"{where}/text", most)
    else:
        yield from plain(node, where, most)


def count(items: Json, where: str, most: int) -> Iterator[str]:
    """Whether it is a list of at least one item, and at most so many."""
    if not isinstance(items, list) or not items:
        yield f"{where}: must be a list of at least one item"
    elif len(items) > most:
        yield f"{where}: no more than {most} items allowed"
