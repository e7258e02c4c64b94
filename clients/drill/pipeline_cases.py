"""The drill's cases: the paper's eleven and what real pipelines do besides, on any schema.

A case chooses its victims among the features that it can break, at random by seed, so that several
seeds tell how well a fault of its kind is caught wherever it strikes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clients.drill.corruptions import Corruption, Drop, One, Scale
from clients.drill.errors import DrillError
from clients.drill.paper_cases import TITLES, VICTIM_KINDS, Importances, paper_case
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
from clients.drill.schema import LISTS, Feature, FeatureKind, Schema

ALL_KINDS = tuple(FeatureKind)
NUMBERS = (FeatureKind.NUMERIC,)
IDS = (FeatureKind.CATEGORICAL, *LISTS)

Make = Callable[[Sequence[Feature], int], Corruption]
"""Makes a fault of its victims and a seed."""
Order = Callable[[list[Feature]], list[Feature]]


class CaseDoesNotApply(DrillError):
    """The schema has too few features of the kinds that a case breaks."""


class Case(ABC):
    """A kind of fault that may strike one feature or another."""

    name: str
    title: str

    @abstractmethod
    def corruption(self, schema: Schema, seed: int, importances: Importances, /) -> Corruption:
        """The fault with its victims; the paper's cases 6 and 7 choose them by importance.

        Raises:
            CaseDoesNotApply: the schema has no such victims.
        """


@dataclass(frozen=True)
class PaperCase(Case):
    """A case of the paper's table; where it breaks one feature, any of its kind."""

    number: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """The case's number."""
        return str(self.number)

    @property
    def title(self) -> str:  # type: ignore[override]
        """What breaks."""
        return TITLES[self.number]

    def corruption(self, schema: Schema, seed: int, importances: Importances, /) -> Corruption:
        """See Case."""
        kind = VICTIM_KINDS.get(self.number)
        if kind is None:
            return paper_case(self.number, schema, seed, importances)
        names = schema.names(kind)
        if not names:
            raise CaseDoesNotApply(f"{self.title}: there is no {kind} feature")
        count = min(2, len(names)) if self.number == 11 else 1
        rng = np.random.default_rng((seed, self.number))
        victims = rng.choice(names, count, replace=False).tolist()
        return paper_case(self.number, schema, seed, victims=victims)


@dataclass(frozen=True)
class PipelineCase(Case):
    """A case of `pipeline_faults`: strikes `count` features of the kinds."""

    name: str
    title: str
    kinds: tuple[FeatureKind, ...]
    make: Make
    count: int = 1
    order: Order = list
    """Puts the features that may be struck in order, as they come at random."""

    def corruption(self, schema: Schema, seed: int, _importances: Importances, /) -> Corruption:
        """See Case."""
        candidates = schema.of_kind(*self.kinds)
        rng = np.random.default_rng((seed, *self.name.encode()))
        victims = self.order([candidates[i] for i in rng.permutation(len(candidates))])
        if len(victims) < self.count:
            kinds = ", ".join(self.kinds)
            raise CaseDoesNotApply(f"{self.title}: there are no {self.count} among {kinds}")
        return self.make(victims[: self.count], seed)


def _twins(features: list[Feature]) -> list[Feature]:
    """The first feature that another one could be taken for, and that one."""
    for place, one in enumerate(features):
        for other in features[place + 1 :]:
            if (one.arrow_type, one.cardinality) == (other.arrow_type, other.cardinality):
                return [one, other]
    return []


def _hours_first(features: list[Feature]) -> list[Feature]:
    return sorted(features, key=lambda feature: "hour" not in feature.name)


def _one(fault: Callable[..., One], **settings: float) -> Make:
    return lambda victims, _seed: fault(victims[0].name, **settings)


def _names(victims: Sequence[Feature]) -> tuple[str, ...]:
    return tuple(victim.name for victim in victims)


def _rehash(victims: Sequence[Feature], seed: int) -> Corruption:
    return Rehash(victims[0].name, cardinality=victims[0].cardinality, salt=seed + 1)


PAPER: Mapping[str, Case] = {str(number): PaperCase(number) for number in TITLES}
_PIPELINE = (
    PipelineCase("frozen", "one frozen value for everybody", ALL_KINDS, _one(Frozen)),
    PipelineCase(
        "misjoined",
        "3 features of one pipeline joined to the wrong rows",
        ALL_KINDS,
        lambda victims, _: Misjoin(_names(victims)),
        count=3,
    ),
    PipelineCase(
        "unit",
        "a number in another unit, x -> 1.8 x + 32",
        NUMBERS,
        _one(ChangeUnit, factor=1.8, offset=32.0),
    ),
    PipelineCase("sign", "a number with its sign turned", NUMBERS, _one(ChangeUnit, factor=-1.0)),
    PipelineCase("clipped", "a number clipped to its middle half", NUMBERS, _one(Clip)),
    PipelineCase("truncated", "lists cut to their first entry", LISTS, _one(Truncate)),
    PipelineCase("rehashed", "ids through another hash", IDS, _rehash),
    PipelineCase(
        "default",
        "a wrong default for missing and lost numbers",
        NUMBERS,
        _one(WrongDefault, value=-1.0),
    ),
    PipelineCase(
        "timezone", "hours told eight zones away", NUMBERS, _one(ShiftHours), order=_hours_first
    ),
    PipelineCase(
        "swapped",
        "two columns of one type swapped",
        ALL_KINDS,
        lambda victims, _: Swap(*_names(victims)),
        count=2,
        order=_twins,
    ),
    PipelineCase(
        "ramp",
        "a number that doubles in ever more rows",
        NUMBERS,
        lambda victims, _: Ramp(Scale(victims[0].name)),
    ),
    PipelineCase(
        "intermittent",
        "a feature missing in every other burst of rows",
        ALL_KINDS,
        lambda victims, _: Intermittent(Drop(_names(victims))),
    ),
    PipelineCase(
        "pipeline",
        "3 features of one pipeline frozen",
        ALL_KINDS,
        lambda victims, _: together(Frozen, _names(victims)),
        count=3,
    ),
)
CASES: Mapping[str, Case] = {**PAPER, **{case.name: case for case in _PIPELINE}}


def stale_case(key: str) -> Case:
    """The case of values that are not updated any more; `key` is the column that says whose."""
    title = f"values by {key} that are not updated any more"
    return PipelineCase("stale", title, ALL_KINDS, lambda victims, _: Stale(victims[0].name, key))
