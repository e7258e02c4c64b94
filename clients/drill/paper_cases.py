"""The eleven corruption cases of Table 1 (R. Vishnampet et al., 2024), on any schema.

Where a case breaks one feature, it is the drill's usual victim if the schema has it, else the most
important one of its kind if importances are given, else a random one; `victims` overrides all.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from clients.drill.corruptions import (
    Constant,
    Corruption,
    DivideWords,
    Drop,
    LoseIds,
    LoseRecentIds,
    Power,
    Scale,
    ZeroWeights,
)
from clients.drill.schema import FeatureKind, Schema

TITLES: Mapping[int, str] = {
    1: "x -> 2x in a numeric feature",
    2: "x -> x^3 in a numeric feature",
    3: "a categorical feature set to a constant",
    4: "3 random features missing in all examples",
    5: "3 random features missing in half of the examples",
    6: "2 important and 2 unimportant features missing in all examples",
    7: "2 important and 2 unimportant features missing in half of the examples",
    8: "half of the ids of a list lost at random",
    9: "the most recent half of the ids of a list lost",
    10: "all weights of a weighted list zero",
    11: "the words of an encoded embedding divided by ten",
}
# Faults that happen: means logged on a ten-point scale, a cube for a square, one value for all.
USUAL_VICTIMS: Mapping[int, str] = {
    1: "item_mean_rating",
    2: "user_last_rating",
    3: "last_rating_id",
    9: "last_watched",
    11: "user_embedding",
}
VICTIM_KINDS: Mapping[int, FeatureKind] = {
    1: FeatureKind.NUMERIC,
    2: FeatureKind.NUMERIC,
    3: FeatureKind.CATEGORICAL,
    8: FeatureKind.ID_LIST,
    9: FeatureKind.ID_LIST,
    10: FeatureKind.WEIGHTED_ID_LIST,
    11: FeatureKind.ENCODED_EMBEDDING,
}

Importances = Mapping[str, float]
Names = tuple[str, ...]


def paper_case(
    number: int,
    schema: Schema,
    seed: int = 0,
    importances: Importances | None = None,
    victims: Sequence[str] | None = None,
) -> Corruption:
    """Case `number` of the paper, 1 to 11.

    importances: a GFI by feature name; cases 6 and 7 need them, or four victims.
    victims: the features to break instead of the case's own choice, as many as the case breaks;
    case 11 takes one or two.
    """
    if number not in TITLES:
        raise ValueError(f"there is no case {number}: choose 1 to {max(TITLES)}")
    chosen = tuple(victims) if victims else _choose(number, schema, seed, importances)
    for name in chosen:
        schema.feature(name)
    return _CASES[number](chosen) if number != 3 else _constant(schema, chosen, seed)


def _choose(number: int, schema: Schema, seed: int, importances: Importances | None) -> Names:
    rng = np.random.default_rng((seed, number))
    if number in (4, 5):
        return tuple(str(name) for name in rng.choice(schema.names(), 3, replace=False))
    if number in (6, 7):
        return _important_and_not(schema, importances)
    names = schema.names(VICTIM_KINDS[number])
    if USUAL_VICTIMS.get(number) in names:
        return (USUAL_VICTIMS[number],)
    if importances is not None:
        return (max(names, key=lambda name: importances.get(name, 0.0)),)
    return (str(rng.choice(names)),)


def _important_and_not(schema: Schema, importances: Importances | None) -> Names:
    """The first two features by importance, and the two in the middle of the lower half."""
    if importances is None:
        raise ValueError("cases 6 and 7 choose by importance: give importances, or four victims")
    ranked = sorted(schema.names(), key=lambda name: -importances.get(name, 0.0))
    lower = 3 * len(ranked) // 4
    return (*ranked[:2], *ranked[lower : lower + 2])


def _constant(schema: Schema, names: Names, seed: int) -> Corruption:
    """An id other than the unknown one: the highest for seed 0."""
    (name,) = names
    known = (schema.feature(name).cardinality or 2) - 1
    return Constant(name, value=known - seed % known)


def _drop(names: Names, share: float) -> Corruption:
    return Drop(names, share=share)


def _one(make: Callable[[str], Corruption], names: Names) -> Corruption:
    (name,) = names
    return make(name)


def _divide(names: Names) -> Corruption:
    first, *rest = names
    corruption: Corruption = DivideWords(first)
    for name in rest:
        corruption &= DivideWords(name)
    return corruption


_CASES: Mapping[int, Callable[[Names], Corruption]] = {
    1: partial(_one, Scale),
    2: partial(_one, Power),
    4: partial(_drop, share=1.0),
    5: partial(_drop, share=0.5),
    6: partial(_drop, share=1.0),
    7: partial(_drop, share=0.5),
    8: partial(_one, LoseIds),
    9: partial(_one, LoseRecentIds),
    10: partial(_one, ZeroWeights),
    11: _divide,
}
