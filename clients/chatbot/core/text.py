"""Words before any chat system's markup, made of spans that a renderer escapes one by one.

Names of features and models, and what people wrote, come from outside. `name_of` and `quote` take
out of them what could act on the reader's screen: control characters, line breaks, marks that turn
the direction of writing, invisible characters. Markup is left in: renderers show it as it is.
"""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

NAME_LENGTH = 60
QUOTE_LENGTH = 500
_ELLIPSIS = "…"
_NAMELESS = "(no name)"
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_MOST_MARKS = 3
"""Combining marks in a row: more of them paint over the lines above and below."""


class Style(StrEnum):
    """How a span looks."""

    PLAIN = "plain"
    STRONG = "strong"
    NAME = "name"
    """In fixed width: a feature, a model, a checkpoint."""


@dataclass(frozen=True)
class Span:
    """A piece of a line, without line breaks."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]


def say(text: str) -> Span:
    """Return our own words."""
    return Span(text)


def strong(text: str) -> Span:
    """Return our own words, louder."""
    return Span(text, Style.STRONG)


def name_of(name: str) -> Span:
    """Return a name from outside, shortened in its middle."""
    return Span(clean(name, NAME_LENGTH), Style.NAME)


def quote(text: str) -> Span:
    """Return a sentence from outside, shortened at its end."""
    return Span(clean(text, QUOTE_LENGTH, keep_end=False))


def plain(line: Line) -> str:
    """Return a line's text without styles."""
    return "".join(span.text for span in line)


def clean(text: str, length: int, *, keep_end: bool = True) -> str:
    """Return text on one line, visible, at most `length` characters and two direction marks long.

    Right-to-left text is isolated, so that it turns nothing around it.
    """
    visible = _visible(text)
    if not visible:
        return _NAMELESS
    if len(visible) > length:
        visible = _shortened(visible, length, keep_end)
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in visible):
        return f"{_ISOLATE}{visible}{_END_OF_ISOLATE}"
    return visible


def _visible(text: str) -> str:
    kept, marks = [], 0
    for character in text:
        category = unicodedata.category(character)
        if character.isspace():
            kept.append(" ")
        elif category not in _INVISIBLE and (category[0] != "M" or marks < _MOST_MARKS):
            kept.append(character)
        marks = marks + 1 if category[0] == "M" else 0
    return " ".join("".join(kept).split())


def _shortened(text: str, length: int, keep_end: bool) -> str:
    end = (length - 1) // 3 if keep_end else 0
    return text[: length - 1 - end] + _ELLIPSIS + (text[-end:] if end else "")
