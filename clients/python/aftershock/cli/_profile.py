"""A feature's values in a window, as people read them."""

from collections.abc import Iterable

from rich.table import Table

from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.aggregator_service_pb2 import GetFeatureProfileResponse
from aftershock.v1.importance_pb2 import HeavyHitter, Quantity, QuantityProfile

_LEVELS = ("0 %", "5 %", "25 %", "50 %", "75 %", "95 %", "100 %")


def profile_lines(found: GetFeatureProfileResponse) -> list[str]:
    """Return what was counted, and how often nothing was there."""
    profile, window = found.profile, found.window
    head = f"{profile.feature} ({words.kind(profile.kind)}) in {window.name}"
    if not profile.example_count:
        return [head, "not known: no block of the window told what its values looked like"]
    return [
        head,
        f"{profile.example_count:,} examples, {profile.baseline_rate:.1%} of them at the baseline; "
        "the others:",
    ]


def quantities_table(quantities: Iterable[QuantityProfile]) -> Table:
    """One row a quantity that is a number."""
    table = table_of("quantity", *(f"#{level}" for level in (*_LEVELS, "MFC")))
    for each in quantities:
        if each.quantity == Quantity.QUANTITY_ID:
            continue
        values = map(words.number, each.quantiles) if each.quantiles else [words.NOTHING] * 7
        known = each.HasField("correlation")
        correlation = words.number(each.correlation) if known else words.NOTHING
        table.add_row(_name(each.quantity), *values, correlation)
    return table


def hitters_table(hitters: Iterable[HeavyHitter]) -> Table:
    """One row a frequent id."""
    table = table_of("#id", "#an example")
    for hitter in hitters:
        table.add_row(str(hitter.id), f"{hitter.frequency:.2%}")
    return table


def _name(quantity: Quantity.ValueType) -> str:
    return Quantity.Name(quantity).removeprefix("QUANTITY_").replace("_", " ").lower()
