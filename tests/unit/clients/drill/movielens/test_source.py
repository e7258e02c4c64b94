"""The data is the pinned one, in the order of time; what is not is refused."""

from pathlib import Path

import numpy as np
import pytest

from clients.drill.errors import DataDigestError, DataUnavailableError
from clients.drill.movielens.source import WHEEL, MovieLens, default_cache, fetch_wheel


def test_everything_is_there(data: MovieLens) -> None:
    assert (len(data.events), len(data.users), len(data.movies)) == (100_000, 943, 1_682)
    assert data.movies[0].title == "Toy Story"
    assert data.movies[0].genres == ("Animation", "Children's", "Comedy")
    assert len(data.knowledge["film.film.directed_by"]) == 1_590


def test_events_are_in_the_order_of_time_then_user_then_item(data: MovieLens) -> None:
    events = data.events
    order = np.lexsort((events.item, events.user, events.seconds))
    np.testing.assert_array_equal(order, np.arange(len(events)))


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"something else")
    with pytest.raises(DataDigestError, match="delete it and try again"):
        fetch_wheel(tmp_path)


def test_without_an_index_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(DataUnavailableError, match=WHEEL):
        fetch_wheel(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_DATA_DIR", "/somewhere")
    assert default_cache() == Path("/somewhere/cache")
    monkeypatch.delenv("AFTERSHOCK_DATA_DIR")
    assert default_cache() == Path.cwd() / ".aftershock" / "cache"
