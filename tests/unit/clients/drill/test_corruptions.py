"""A corruption changes its culprits' columns as the paper's table says, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from clients.drill.columns import unpack_float16
from clients.drill.corruptions import (
    Constant,
    DivideWords,
    Drop,
    LoseIds,
    LoseRecentIds,
    Power,
    Scale,
    ZeroWeights,
)
from clients.drill.encoding import Encoder
from clients.drill.movielens.upstream import REFIT
from clients.drill.movielens.world import World
from clients.drill.paper_cases import TITLES, USUAL_VICTIMS, VICTIM_KINDS, paper_case
from clients.drill.schema import FeatureKind, Schema

COUNTS = {4: 3, 5: 3, 6: 4, 7: 4}


@pytest.fixture(scope="module")
def table(world: World) -> pa.Table:
    """A slice, as the replay takes them."""
    return world.examples.slice(REFIT + 200, 400)


@pytest.fixture(scope="module")
def importances(world: World) -> dict[str, float]:
    rng = np.random.default_rng(0)
    return {name: float(rng.random()) for name in world.schema.names()}


@pytest.mark.parametrize("number", TITLES)
def test_only_the_culprits_change(
    number: int, world: World, table: pa.Table, importances: dict[str, float]
) -> None:
    corruption = paper_case(number, world.schema, seed=3, importances=importances)
    broken = corruption.apply(table, seed=5)
    assert len(broken.culprits) == COUNTS.get(number, 1)
    assert broken.table.schema == table.schema
    assert broken.table.num_rows == table.num_rows
    for name in table.column_names:
        unchanged = broken.table[name].equals(table[name])
        assert unchanged or name in broken.culprits, name
    assert not broken.table.equals(table)
    assert broken.table.equals(corruption.apply(table, seed=5).table)
    Encoder(world.schema)(broken.table)


@pytest.mark.parametrize("number", sorted(VICTIM_KINDS))
def test_single_culprits_have_the_right_kind(number: int, world: World) -> None:
    (culprit,) = paper_case(number, world.schema, seed=1).culprits
    assert world.schema.feature(culprit).kind is VICTIM_KINDS[number]


def test_the_usual_victim_goes_first(world: World) -> None:
    importances = {"user_age": 1.0}
    (usual,) = paper_case(1, world.schema, importances=importances).culprits
    assert usual == USUAL_VICTIMS[1]
    rest = Schema(tuple(f for f in world.schema.features if f.name != usual))
    assert paper_case(1, rest, importances=importances).culprits == ("user_age",)


def test_the_most_important_of_its_kind_is_chosen(world: World) -> None:
    assert paper_case(8, world.schema, importances={"genres": 1.0}).culprits == ("genres",)
    important = {"genres": 2.0, "item_id": 1.0}
    assert paper_case(6, world.schema, importances=important).culprits[:2] == ("genres", "item_id")
    with pytest.raises(ValueError, match="give importances"):
        paper_case(7, world.schema)


def test_victims_may_be_named(world: World, table: pa.Table) -> None:
    both = ("user_embedding", "item_embedding")
    broken = paper_case(11, world.schema, victims=both).apply(table)
    assert broken.culprits == both
    assert not any(broken.table[name].equals(table[name]) for name in both)
    with pytest.raises(KeyError):
        paper_case(1, world.schema, victims=["nobody"])
    with pytest.raises(ValueError, match="choose 1 to 11"):
        paper_case(12, world.schema)


def test_numbers(table: pa.Table) -> None:
    age = table["user_age"].to_numpy()
    assert Scale("user_age").apply(table).table["user_age"].to_numpy().tolist() == list(2 * age)
    assert Power("user_age").apply(table).table["user_age"].to_numpy().tolist() == list(age**3)
    rates = table["user_director_like_rate"]
    doubled = Scale("user_director_like_rate").apply(table).table["user_director_like_rate"]
    assert doubled.null_count == rates.null_count > 0


def test_constant_fills_missing_values_too(table: pa.Table) -> None:
    broken = Constant("director_id", 7).apply(table).table["director_id"]
    assert set(broken.to_pylist()) == {7}


def test_dropping_hits_the_share(table: pa.Table) -> None:
    names = ("user_age", "genres", "user_embedding", "genre_affinity")
    everything = Drop(names).apply(table).table
    half = Drop(names, share=0.5).apply(table, seed=1).table
    for name in names:
        assert everything[name].null_count == len(table)
        assert 140 < half[name].null_count < 260


def test_half_of_the_ids(table: pa.Table) -> None:
    before = table["last_watched"].to_pylist()
    random_half = LoseIds("last_watched").apply(table).table["last_watched"].to_pylist()
    recent_half = LoseRecentIds("last_watched").apply(table).table["last_watched"].to_pylist()
    for ids, kept, older in zip(before, random_half, recent_half, strict=True):
        assert older == ids[(len(ids) + 1) // 2 :]
        remaining = iter(ids)
        assert all(any(id_ == other for other in remaining) for id_ in kept)
    share = sum(map(len, random_half)) / sum(map(len, before))
    assert 0.45 < share < 0.55


def test_lists_that_are_missing_stay_missing(table: pa.Table) -> None:
    broken = LoseIds("directors").apply(table).table["directors"]
    assert broken.null_count == table["directors"].null_count > 0


def test_weights_become_zero_and_ids_stay(table: pa.Table) -> None:
    broken = ZeroWeights("recent_ratings").apply(table).table["recent_ratings"].to_pylist()
    for before, after in zip(table["recent_ratings"].to_pylist(), broken, strict=True):
        assert [entry["id"] for entry in after] == [entry["id"] for entry in before]
        assert not any(entry["weight"] for entry in after)


def test_divided_words_explode(table: pa.Table) -> None:
    before = table["user_embedding"].combine_chunks()
    after = DivideWords("user_embedding").apply(table).table["user_embedding"].combine_chunks()
    assert after.null_count == before.null_count
    words = after.flatten().to_numpy()
    np.testing.assert_array_equal(words, np.floor_divide(before.flatten().to_numpy(), 10))
    healthy = unpack_float16(before.flatten().to_numpy().reshape(-1, 1)).astype(np.float64)
    broken = unpack_float16(words.reshape(-1, 1)).astype(np.float64)
    assert np.linalg.norm(np.nan_to_num(broken)) > 10_000 * np.linalg.norm(healthy)


def test_corruptions_compose(world: World, table: pa.Table) -> None:
    both = Scale("user_age") & Power("user_age", 2) & Drop(("genres",))
    broken = both.apply(table)
    assert broken.culprits == ("user_age", "genres")
    expected = (2 * table["user_age"].to_numpy()) ** 2
    np.testing.assert_array_equal(broken.table["user_age"].to_numpy(), expected)
    assert broken.table["genres"].null_count == len(table)
    assert world.schema.feature("genres").kind is FeatureKind.ID_LIST


def test_a_table_without_the_culprit_is_refused(table: pa.Table) -> None:
    with pytest.raises(KeyError):
        Scale("user_age").apply(table.drop_columns(["user_age"]))
