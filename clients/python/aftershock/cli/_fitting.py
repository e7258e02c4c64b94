"""How a table fits a terminal: columns share the room, and no name or number is cut in two."""

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aftershock.cli._words import NOTHING

_BETWEEN = 3
_EDGES = 2
_LONG_WORD = 40
_INDENT = "  "


def fitted(table: Table, width: int) -> RenderableType:
    """Return the table within `width` characters, or a paragraph a row where it does not fit.

    It fits as long as every word of up to 40 characters stays whole, and all of a column that is
    not to be wrapped.
    """
    cells = [[column.header, *column.cells] for column in table.columns]
    texts = [[str(cell) for cell in column] for column in cells]
    wanted = [max(map(cell_len, column)) for column in texts]
    least = [
        natural if column.no_wrap else min(max(map(_longest_word, text)), _LONG_WORD)
        for column, text, natural in zip(table.columns, texts, wanted, strict=True)
    ]
    room = width - _EDGES - _BETWEEN * (len(table.columns) - 1)
    if sum(least) > room:
        names = next((i for i, column in enumerate(table.columns) if column.no_wrap), 0)
        return Group(*map(Text, _paragraphs(texts, names, width)))
    for column, share in zip(table.columns, _shared(least, wanted, room), strict=True):
        column.width = share
    return table


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _shared(least: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Return each column's width: an equal share of what is left, and none more than it wants."""
    widths = list(least)
    spare = room - sum(least)
    by_want = sorted(range(len(least)), key=lambda i: wanted[i] - least[i])
    for left, i in zip(range(len(by_want), 0, -1), by_want, strict=True):
        more = min(wanted[i] - least[i], spare // left)
        widths[i] += more
        spare -= more
    return widths


def _paragraphs(columns: Sequence[Sequence[str]], names: int, width: int) -> Iterator[str]:
    """Yield a row's cells up to its name as one line, the others by their headers under it."""
    headers, *rows = zip(*columns, strict=True)
    for row in rows:
        yield " ".join(row[: names + 1])
        rest = zip(headers[names + 1 :], row[names + 1 :], strict=True)
        told = [f"{header} {cell}".strip() for header, cell in rest if cell not in ("", NOTHING)]
        yield from _filled(told, width)


def _filled(parts: Iterable[str], width: int) -> Iterator[str]:
    """Yield indented lines of whole parts, as many as fit each; one that is longer has its own."""
    line = ""
    for part in parts:
        joined = f"{line} · {part}" if line else _INDENT + part
        if line and cell_len(joined) > width:
            yield line
            joined = _INDENT + part
        line = joined
    if line:
        yield line
