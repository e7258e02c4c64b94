from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.shelf import Shelf


def test_what_was_not_looked_at_for_longest_goes_first() -> None:
    shelf = Shelf[str](room=30)
    for key in "abc":
        shelf.keep(key, key.upper(), 10)
    assert shelf.get("a") == "A"
    shelf.keep("d", "D", 10)
    assert [shelf.get(key) for key in "abcd"] == ["A", None, "C", "D"]


def test_what_would_not_fit_is_not_kept() -> None:
    shelf = Shelf[str](room=30)
    shelf.keep("a", "A", 10)
    shelf.keep("b", "B", 31)
    assert (shelf.get("a"), shelf.get("b")) == ("A", None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_it_never_takes_more_than_its_room(kept: list[tuple[int, int]]) -> None:
    shelf = Shelf[int](room=20)
    sizes: dict[int, int] = {}
    for key, size in kept:
        shelf.keep(key, size, size)
        sizes[key] = size
        there = [k for k in sizes if shelf.get(k) is not None]
        assert shelf.taken == sum(sizes[k] for k in there) <= 20
        assert key in there
