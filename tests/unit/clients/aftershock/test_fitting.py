"""How tables fit a terminal: no word is cut, whatever its width."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from aftershock.cli._fitting import fitted
from aftershock.cli._output import harmless, table_of

HEADERS = ("#rank", "=feature", "kind", "#GFI")
ROW = ("1", "user_embedding", "encoded embedding", "0.0063 -> 0.15")
words = st.text("abcdefghij0123456789_é", min_size=1, max_size=12)
phrases = st.lists(words, max_size=6).map(" ".join)
rows = st.lists(st.tuples(words, words, phrases, phrases), min_size=1, max_size=4)


def printed(part: RenderableType, width: int) -> str:
    file = StringIO()
    Console(file=file, width=width, markup=False, highlight=False).print(part)
    return file.getvalue()


def shown(width: int, *cells: tuple[str, ...]) -> str:
    table = table_of(*HEADERS)
    for row in cells:
        table.add_row(*row)
    return printed(fitted(table, width), width)


def test_with_room_a_row_is_a_line() -> None:
    line = shown(80, ROW).splitlines()[3]
    assert [cell.strip() for cell in line.split("   ") if cell.strip()] == list(ROW)


def test_columns_share_what_is_left_and_none_takes_more_than_it_wants() -> None:
    assert shown(50, (*ROW[:3], "0.15 !")).splitlines()[3:5] == [
        "    1   user_embedding   encoded           0.15 ! ",
        "                         embedding                ",
    ]


def test_without_room_a_row_is_a_paragraph() -> None:
    unknown = ("2", "user_age", "-", "")
    assert shown(40, ROW, unknown).splitlines() == [
        "1 user_embedding",
        "  kind encoded embedding",
        "  GFI 0.0063 -> 0.15",
        "2 user_age",
    ]


@given(rows, st.integers(30, 120))
def test_no_word_is_cut(cells: list[tuple[str, ...]], width: int) -> None:
    told = shown(width, *cells)
    assert all(cell_len(line) <= width for line in told.splitlines())
    for row in cells:
        assert all(word in told for cell in row for word in cell.split())


@pytest.mark.parametrize("width", [20, 60])
def test_a_word_longer_than_any_column_is_folded_and_whole(width: int) -> None:
    path = "x" * 100
    told = shown(width, ("1", "f", path, "0"))
    assert told.count("x") == len(path)


def test_names_command_no_terminal() -> None:
    assert harmless("\x1b[31mred\x9b2J\x07\u202eabc\r") == (
        "\ufffd[31mred\ufffd2J\ufffd\ufffdabc\ufffd"
    )
    assert harmless("é 🚗\tb\nc") == "é 🚗\tb\nc"
    table = table_of("=label")
    table.add_row("\x1b[31mred")
    assert list(table.columns[0].cells) == ["\ufffd[31mred"]
