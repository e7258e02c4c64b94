"""A Slack message as a picture for pages: SVG, drawn from its blocks."""

import re
from html import escape
from typing import Any

Json = Any
_WIDTH, _MARGIN, _LINE, _SIZE = 760, 24, 20, 14
_COLUMNS = 88
_NARROW = 8.6
"""Pixels of a letter, about."""
_INK, _FAINT, _PAPER, _CODE = "#1d1c1d", "#616061", "#ffffff", "#c01343"
_BUTTONS = {"primary": ("#007a5a", "#ffffff"), "danger": ("#e01e5a", "#ffffff")}


def picture(blocks: list[Json]) -> str:
    """Return the message as an SVG document."""
    drawn = [_text("Aftershock", _MARGIN, 30, weight="bold") + _text("APP", 112, 30, fill=_FAINT)]
    height = 44
    for block in blocks:
        part, height = _BLOCKS[block["type"]](block, height)
        drawn.append(part)
    height += _MARGIN
    frame = f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="{_PAPER}" stroke="#dddddd"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="Lato, Helvetica, Arial, sans-serif" font-size="{_SIZE}">\n'
        f"{frame}\n" + "\n".join(drawn) + "\n</svg>\n"
    )


def _header(block: Json, top: int) -> tuple[str, int]:
    return _text(block["text"]["text"], _MARGIN, top + 24, size=18, weight="bold"), top + 40


def _rich_text(block: Json, top: int) -> tuple[str, int]:
    lines: list[list[Json]] = [[]]
    for element in block["elements"][0]["elements"]:
        if element["text"] == "\n":
            lines.append([])
        else:
            lines[-1].append(element)
    drawn = []
    for line in lines:
        for row in _rows(line):
            top += _LINE
            drawn.append(f'<text x="{_MARGIN}" y="{top}" fill="{_INK}">{row}</text>')
    return "\n".join(drawn), top + 10


def _rows(line: list[Json]) -> list[str]:
    """Break a line of styled spans where it is too long."""
    rows, row, room = [], "", _COLUMNS
    for span in line:
        for word in _words(span["text"]):
            if len(word) > room:
                rows.append(row)
                row, room = "", _COLUMNS
                word = word.lstrip()  # noqa: PLW2901 - a row begins without a space
            row += f"<tspan{_style(span)}>{escape(word)}</tspan>"
            room -= len(word)
    return [*rows, row]


def _words(text: str) -> list[str]:
    """Return words, each with the spaces before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def _style(span: Json) -> str:
    style = span.get("style", {})
    if style.get("code"):
        return f' font-family="monospace" fill="{_CODE}"'
    return ' font-weight="bold"' if style.get("bold") else ""


def _actions(block: Json, top: int) -> tuple[str, int]:
    drawn, left = [], float(_MARGIN)
    for button in block["elements"]:
        label = button["text"]["text"]
        fill, ink = _BUTTONS.get(button.get("style", ""), (_PAPER, _INK))
        width = len(label) * _NARROW + 24
        drawn.append(
            f'<rect x="{left:.0f}" y="{top + 8}" width="{width:.0f}" height="30" rx="4" '
            f'fill="{fill}" stroke="#bbbbbb"/>'
            + _text(label, left + 12, top + 28, fill=ink, weight="bold")
        )
        left += width + 8
    return "\n".join(drawn), top + 44


def _text(
    text: str, left: float, top: int, *, size: int = _SIZE, weight: str = "normal", fill: str = _INK
) -> str:
    look = f'font-size="{size}" font-weight="{weight}" fill="{fill}"'
    return f'<text x="{left:.0f}" y="{top}" {look}>{escape(text)}</text>'


_BLOCKS = {"header": _header, "rich_text": _rich_text, "actions": _actions}
