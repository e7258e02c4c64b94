"""The world has features of all kinds, and none looks ahead."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clients.drill.movielens import world as module
from clients.drill.movielens.source import MovieLens
from clients.drill.movielens.timeline import Timeline
from clients.drill.movielens.upstream import REFIT
from clients.drill.movielens.world import World, build_world, load_world
from clients.drill.progress import silent
from clients.drill.schema import FeatureKind
from tests.unit.clients.drill.conftest import ROWS

CHANGED_FROM = REFIT + 300


def test_at_least_150_features_of_all_six_kinds(world: World) -> None:
    kinds = Counter(feature.kind for feature in world.schema.features)
    assert set(kinds) == set(FeatureKind)
    assert kinds.total() >= 150
    assert len(set(world.schema.names())) == kinds.total()


def test_columns_are_the_schema_in_order_and_type(world: World) -> None:
    assert world.examples.column_names == list(world.schema.names())
    for feature, field in zip(world.schema.features, world.examples.schema, strict=True):
        assert field.type == feature.arrow_type or pa.types.is_integer(field.type)


def test_coverage_differs_between_features(world: World) -> None:
    missing = {world.examples[name].null_count for name in world.schema.names()}
    assert 0 in missing
    assert max(missing) > len(world) / 2
    assert len(missing) > 20


@pytest.fixture(scope="module")
def another_future(data: MovieLens) -> World:
    """The same events up to a row, that row with another rating, then entirely other events."""
    events = data.events.first(ROWS)
    rating, user, item = events.rating.copy(), events.user.copy(), events.item.copy()
    rating[CHANGED_FROM:] = 6 - rating[CHANGED_FROM:]
    user[CHANGED_FROM + 1 :] = user[CHANGED_FROM + 1 :][::-1]
    item[CHANGED_FROM + 1 :] = np.roll(item[CHANGED_FROM + 1 :], 7)
    changed = replace(events, rating=rating, user=user, item=item)
    return build_world(Timeline(data, changed), silent)


def test_what_comes_later_changes_no_feature(world: World, another_future: World) -> None:
    rows = CHANGED_FROM + 1
    for name in world.schema.names():
        now, then = world.examples[name], another_future.examples[name]
        assert now.slice(0, rows).equals(then.slice(0, rows)), name
    assert not world.examples.slice(rows).equals(another_future.examples.slice(rows))
    assert world.schema == another_future.schema


def test_a_shorter_timeline_is_the_beginning_of_the_longer(data: MovieLens, world: World) -> None:
    shorter = build_world(Timeline(data, data.events.first(CHANGED_FROM)), silent)
    assert shorter.schema == world.schema
    for name in world.schema.names():
        assert shorter.examples[name].equals(world.examples[name].slice(0, CHANGED_FROM)), name


def test_labels_are_ratings_of_four_and_five(data: MovieLens, world: World) -> None:
    np.testing.assert_array_equal(world.labels, data.events.rating[:ROWS] >= 4)
    assert world.timestamps.dtype == np.dtype("datetime64[s]")
    assert (np.diff(world.timestamps) >= np.timedelta64(0)).all()


def test_recent_lists_start_with_the_most_recent(data: MovieLens, world: World) -> None:
    user, item = data.events.user[:ROWS], data.events.item[:ROWS]
    row = int(np.flatnonzero(user == user[ROWS - 1])[-1])
    earlier = item[:row][user[:row] == user[row]][::-1][:20]
    assert world.examples["last_watched"][row].as_py() == earlier.tolist()


def test_the_cache_gives_back_what_was_built(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build_world", lambda timeline, report: world)
    monkeypatch.setattr(module, "load_movielens", lambda cache: None)
    monkeypatch.setattr(module, "Timeline", lambda data: None)
    first = load_world(tmp_path)
    monkeypatch.undo()
    second = load_world(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]
    for loaded in (first, second):
        assert loaded.schema == world.schema
        assert loaded.examples.equals(world.examples)
        np.testing.assert_array_equal(loaded.labels, world.labels)
        np.testing.assert_array_equal(loaded.timestamps, world.timestamps)
        assert loaded.train_rows == world.train_rows
