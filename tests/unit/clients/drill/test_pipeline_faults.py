"""Each fault breaks its victims as its name says, and nothing else, whatever the table."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.drill.corruptions import Constant, Corruption, Scale
from clients.drill.pipeline_cases import CASES, CaseDoesNotApply, stale_case
from clients.drill.pipeline_faults import (
    ChangeUnit,
    Clip,
    Frozen,
    Intermittent,
    Misjoin,
    Ramp,
    Rehash,
    ShiftHours,
    Stale,
    Swap,
    Truncate,
    WrongDefault,
    together,
)
from clients.drill.schema import Feature, FeatureKind, Schema

SIZE, IDS = 3, 50
SCHEMA = Schema(
    (
        Feature("hour", FeatureKind.NUMERIC),
        Feature("price", FeatureKind.NUMERIC),
        Feature("user", FeatureKind.CATEGORICAL, cardinality=IDS),
        Feature("place", FeatureKind.CATEGORICAL, cardinality=IDS),
        Feature("seen", FeatureKind.ID_LIST, cardinality=IDS, size=4),
        Feature("liked", FeatureKind.WEIGHTED_ID_LIST, cardinality=IDS, size=4),
        Feature("taste", FeatureKind.EMBEDDING, size=SIZE),
        Feature("words", FeatureKind.ENCODED_EMBEDDING, size=SIZE),
        Feature("other_words", FeatureKind.ENCODED_EMBEDDING, size=SIZE),
    )
)
IMPORTANCES = {name: float(rank) for rank, name in enumerate(SCHEMA.names())}
_numbers = st.floats(-1000, 1000, width=32)
_ids = st.integers(1, IDS - 1)
_words = st.integers(-(2**62), 2**62)
_VALUES = {
    FeatureKind.NUMERIC: _numbers,
    FeatureKind.CATEGORICAL: _ids,
    FeatureKind.ID_LIST: st.lists(_ids, max_size=4),
    FeatureKind.WEIGHTED_ID_LIST: st.lists(
        st.fixed_dictionaries({"id": _ids, "weight": _numbers}), max_size=4
    ),
    FeatureKind.EMBEDDING: st.lists(_numbers, min_size=SIZE, max_size=SIZE),
    FeatureKind.ENCODED_EMBEDDING: st.lists(_words, min_size=SIZE, max_size=SIZE),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(1, 30))
    columns = {}
    for feature in SCHEMA.features:
        values = st.one_of(st.none(), _VALUES[feature.kind])
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        columns[feature.name] = pa.array(drawn, feature.arrow_type)
    # With a row before it, so that every column is a slice, as the drill takes them.
    table = pa.table(columns)
    return pa.concat_tables([table.slice(0, 1), table]).combine_chunks().slice(1)


def broken(fault: Corruption, table: pa.Table, seed: int = 0) -> dict[str, list[Any]]:
    result = fault.apply(table, seed)
    assert result.table.schema == table.schema
    assert result.table.num_rows == table.num_rows
    assert result.table.equals(fault.apply(table, seed).table)
    for name in set(table.column_names) - set(fault.culprits):
        assert result.table[name].equals(table[name])
    content: dict[str, list[Any]] = result.table.to_pydict()
    return content


def counted(values: Sequence[Any]) -> Counter[str]:
    return Counter(map(repr, values))


PROPERTY = settings(max_examples=40, deadline=None)


@PROPERTY
@given(tables(), st.sampled_from(SCHEMA.names()))
def test_stale_values_are_the_first_of_their_key(table: pa.Table, feature: str) -> None:
    if feature == "user":
        return
    first: dict[Any, Any] = {}
    values = table.to_pydict()
    for user, value in zip(values["user"], values[feature], strict=True):
        first.setdefault(user, value)
    stale = broken(Stale(feature, key="user"), table)[feature]
    assert repr(stale) == repr([first[user] for user in values["user"]])


@PROPERTY
@given(tables(), st.sampled_from(SCHEMA.names()))
def test_frozen_values_are_the_first(table: pa.Table, feature: str) -> None:
    first = table[feature][0].as_py()
    assert repr(broken(Frozen(feature), table)[feature]) == repr([first] * table.num_rows)


@PROPERTY
@given(tables(), st.integers(0, 5), st.sampled_from([0.0, 0.4, 1.0]))
def test_misjoined_rows_keep_every_distribution(table: pa.Table, seed: int, share: float) -> None:
    features = ("price", "seen", "liked", "words")
    after, before = broken(Misjoin(features, share), table, seed), table.to_pydict()
    rows = zip(*(before[name] for name in features), strict=True)
    assert counted(list(zip(*(after[name] for name in features), strict=True))) == counted(
        list(rows)
    )
    if share == 0:
        assert repr(after) == repr(before)


def test_misjoined_rows_all_move() -> None:
    table = pa.table({"x": np.arange(50.0)})
    after = Misjoin(("x",)).apply(table, seed=3).table["x"].to_numpy()
    assert not (after == np.arange(50)).any()


@PROPERTY
@given(tables(), st.floats(-3, 3), st.floats(-100, 100))
def test_units_change_linearly(table: pa.Table, factor: float, offset: float) -> None:
    after = broken(ChangeUnit("price", factor, offset), table)["price"]
    for one, other in zip(table["price"].to_pylist(), after, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other == pytest.approx(factor * one + offset, rel=1e-4, abs=1e-3)


@PROPERTY
@given(tables())
def test_clipped_numbers_lie_between_the_quartiles(table: pa.Table) -> None:
    before = table["price"].to_pylist()
    after = broken(Clip("price"), table)["price"]
    low, high = pc.quantile(table["price"], q=[0.25, 0.75]).to_pylist()
    for one, other in zip(before, after, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other == pytest.approx(min(max(one, low), high), rel=1e-6)


@PROPERTY
@given(tables(), st.sampled_from(["seen", "liked"]), st.integers(0, 4))
def test_truncated_lists_keep_their_beginning(table: pa.Table, feature: str, length: int) -> None:
    after = broken(Truncate(feature, length), table)[feature]
    expected = [None if one is None else one[:length] for one in table[feature].to_pylist()]
    assert repr(after) == repr(expected)


@PROPERTY
@given(tables(), st.sampled_from(["user", "seen", "liked"]), st.integers(1, 9))
def test_rehashed_ids_go_by_one_function(table: pa.Table, feature: str, salt: int) -> None:
    def ids(values: Any) -> list[int]:
        flat = pa.array(values, SCHEMA.feature(feature).arrow_type)
        flat = flat.flatten() if feature != "user" else flat.drop_null()
        return (flat.field("id") if feature == "liked" else flat).to_pylist()  # type: ignore[no-any-return]

    before = table[feature].to_pylist()
    after = broken(Rehash(feature, IDS, salt), table)[feature]
    assert [one is None for one in before] == [one is None for one in after]
    function: dict[int, int] = {}
    for one, other in zip(ids(before), ids(after), strict=True):
        assert function.setdefault(one, other) == other
        assert 1 <= other < IDS


def test_a_hash_moves_ids_and_leaves_the_unknown_one() -> None:
    table = pa.table({"id": pa.array([0, *range(1, 1000)])})
    after = Rehash("id", 1000).apply(table).table["id"].to_numpy()
    assert after[0] == 0
    assert (after[1:] == np.arange(1, 1000)).mean() < 0.05
    assert len(np.unique(after[1:])) > 500
    unbounded = Rehash("id").apply(table).table["id"].to_numpy()
    assert (unbounded[1:] > 0).all()


@PROPERTY
@given(tables(), st.sampled_from(["price", "user"]), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_wrong_default_leaves_nothing_missing(
    table: pa.Table, feature: str, share: float
) -> None:
    before = table[feature].to_pylist()
    after = broken(WrongDefault(feature, 7.0, share), table)[feature]
    for one, other in zip(before, after, strict=True):
        assert other == 7 or (other == one and share < 1)
        assert share > 0 or one is None or other == one


@PROPERTY
@given(tables(), st.integers(-30, 30))
def test_hours_wrap_around(table: pa.Table, hours: int) -> None:
    whole = pa.array([None if x is None else x % 24 // 1 for x in table["hour"].to_pylist()])
    table = table.set_column(0, "hour", whole.cast(pa.float32()))
    after = broken(ShiftHours("hour", hours), table)["hour"]
    for one, other in zip(whole.to_pylist(), after, strict=True):
        assert other == (None if one is None else (one + hours) % 24)


@PROPERTY
@given(tables())
def test_swapped_columns_swap_back(table: pa.Table) -> None:
    fault = Swap("user", "place")
    assert broken(fault, table)["user"] == table["place"].to_pylist()
    assert (fault & fault).apply(table).table.equals(table)
    with pytest.raises(TypeError, match="taste is"):
        Swap("taste", "user").apply(table)


def test_swapped_numbers_keep_their_types() -> None:
    columns = {"price": pa.array([1, 2], pa.int64()), "hour": pa.array([0.5, None], pa.float32())}
    after = Swap("price", "hour").apply(pa.table(columns)).table
    assert after["price"].combine_chunks().equals(columns["hour"])
    assert after["hour"].combine_chunks().equals(columns["price"])


@PROPERTY
@given(tables(), st.integers(0, 5))
def test_partial_faults_break_a_row_wholly_or_not(table: pa.Table, seed: int) -> None:
    fault = Constant("user", 9) & ChangeUnit("price", 2.0, 5000.0)
    before = table.to_pydict()
    for partial in (Ramp(fault), Intermittent(fault, burst=3)):
        after = broken(partial, table, seed)
        for row, price in enumerate(before["price"]):
            moved = price is not None and after["price"][row] != price
            assert after["user"][row] == (9 if moved else before["user"][row]) or price is None


def test_a_ramp_rises_and_bursts_come_and_go() -> None:
    table = pa.table({"x": np.ones(10_000)})
    hit = Ramp(Scale("x")).apply(table, 1).table["x"].to_numpy() == 2
    thirds = [part.mean() for part in np.array_split(hit, 3)]
    assert thirds == pytest.approx([1 / 6, 1 / 2, 5 / 6], abs=0.03)
    hit = Intermittent(Scale("x"), burst=100, share=0.3).apply(table, 1).table["x"].to_numpy() == 2
    bursts = hit.reshape(100, 100)
    assert set(bursts.mean(axis=1)) == {0.0, 1.0}
    assert bursts.mean() == 0.3


def test_features_of_one_pipeline_break_together() -> None:
    fault = together(Frozen, ["price", "seen"])
    assert fault.culprits == ("price", "seen")


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([*CASES, "stale"]), st.integers(0, 20))
def test_every_case_strikes_what_it_can(table: pa.Table, name: str, seed: int) -> None:
    case = stale_case("user") if name == "stale" else CASES[name]
    assert case.name == name
    assert case.title
    fault = case.corruption(SCHEMA, seed, IMPORTANCES)
    assert fault.culprits == case.corruption(SCHEMA, seed, IMPORTANCES).culprits
    assert len(set(fault.culprits)) == len(fault.culprits) > 0
    broken(fault, table, seed)


def test_seeds_strike_different_features() -> None:
    struck = {CASES["frozen"].corruption(SCHEMA, seed, {}).culprits for seed in range(20)}
    assert len(struck) > 4
    assert CASES["timezone"].corruption(SCHEMA, 5, {}).culprits == ("hour",)


@pytest.mark.parametrize("name", ["3", "8", "10", "11", "truncated", "misjoined", "swapped"])
def test_a_case_without_victims_says_so(name: str) -> None:
    lonely = Schema((Feature("price", FeatureKind.NUMERIC),))
    with pytest.raises(CaseDoesNotApply, match="there"):
        CASES[name].corruption(lonely, 0, {"price": 1.0})
