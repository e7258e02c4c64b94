"""A trained version of a model: what its examples look like and what "absent" means for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.errors import (
    CheckpointRefused,
    SeenInTraining,
    UnknownFeature,
    WrongDataType,
)

_LARGEST_EXACT = 2**53
"""Larger integers do not all have a float64 of their own."""


class FeatureKind(Enum):
    """How a feature's values look."""

    NUMERIC = "NUMERIC"
    CATEGORICAL = "CATEGORICAL"
    ID_LIST = "ID_LIST"
    WEIGHTED_ID_LIST = "WEIGHTED_ID_LIST"
    EMBEDDING = "EMBEDDING"
    ENCODED_EMBEDDING = "ENCODED_EMBEDDING"

    @property
    def is_list(self) -> bool:
        """Whether a value is a list of ids."""
        return self in (FeatureKind.ID_LIST, FeatureKind.WEIGHTED_ID_LIST)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype of the program input that takes the values (or the ids)."""
        floating = self in (FeatureKind.NUMERIC, FeatureKind.EMBEDDING)
        return np.dtype(np.float32 if floating else np.int64)


class Output(Enum):
    """What a program returns for each example."""

    LOGIT = "LOGIT"
    PROBABILITY = "PROBABILITY"


@dataclass(frozen=True)
class InputSpec:
    """One positional argument of a program, without the leading batch dimension."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Feature:
    """One named input of a model and where its values go.

    `column` is its column in a packed input `[B, C]`; None when the whole input is its own.
    `baseline` is the number or the id that stands for "absent"; lists and vectors are absent when
    empty or null, so theirs is 0. `cardinality` bounds ids to `[0, cardinality)`; None: any int64.
    """

    name: str
    kind: FeatureKind
    input: str
    column: int | None = None
    weights_input: str | None = None
    baseline: float = 0.0
    cardinality: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The program inputs that hold its values."""
        return (self.input,) if self.weights_input is None else (self.input, self.weights_input)

    @property
    def members(self) -> "tuple[Feature, ...]":
        """The columns of the examples that hold its values: itself."""
        return (self,)


@dataclass(frozen=True)
class Group:
    """Several columns of the examples that are one feature: present together, ablated together.

    Raises:
        CheckpointRefused: it has no members.
    """

    name: str
    members: tuple[Feature, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise CheckpointRefused(f"group {self.name!r} has no members: name them, or drop it")


AnyFeature = Feature | Group
"""What has one importance. Either has a name and members."""


@dataclass(frozen=True)
class Schema:
    """The program's inputs in argument order and the features in reporting order.

    Raises:
        CheckpointRefused: a feature does not fit its input, its baseline is not one of its values,
            two features share a name or a place, or an input belongs to no feature.
    """

    inputs: tuple[InputSpec, ...]
    features: tuple[AnyFeature, ...]

    def __post_init__(self) -> None:
        _check_unique("input", [i.name for i in self.inputs])
        groups = [feature.name for feature in self.features if isinstance(feature, Group)]
        _check_unique("feature", [column.name for column in self.columns] + groups)
        for feature in self.columns:
            _check_baseline(feature)
            for name in feature.inputs:
                self._check_place(feature, name)
        self._check_covered()

    @cached_property
    def columns(self) -> tuple[Feature, ...]:
        """What an example has a column for: every feature, and in a group's stead its members."""
        return tuple(column for feature in self.features for column in feature.members)

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The group of each column that is in one, by the column's name."""
        groups = (feature for feature in self.features if isinstance(feature, Group))
        return {column.name: group for group in groups for column in group.members}

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each feature by name."""
        return {feature.name: j for j, feature in enumerate(self.features)}

    @cached_property
    def input_index(self) -> dict[str, int]:
        """Position of each input by name."""
        return {spec.name: k for k, spec in enumerate(self.inputs)}

    def positions(self, names: Sequence[str]) -> list[int]:
        """Return where the features of these names are.

        Raises:
            UnknownFeature: there is none of a name.
        """
        for place, name in enumerate(names):
            if name not in self.index:
                hint = ""
                if name in self.groups:
                    group = self.groups[name].name
                    hint = f": it is in the group {group!r}, which is ablated whole; name that"
                raise UnknownFeature(
                    f"the checkpoint has no feature {name!r}{hint}", field=f"features[{place}]"
                )
        return [self.index[name] for name in names]

    def list_of_ids(self, name: str, field: str) -> Feature:
        """Return the feature of that name, which holds lists of ids.

        Args:
            name: of a feature, or of a member of a group.
            field: of the request that names it.

        Raises:
            UnknownFeature: there is none of that name.
            WrongDataType: it holds no lists of ids.
        """
        for column in self.columns:
            if column.name == name:
                if not column.kind.is_list:
                    raise WrongDataType(
                        f"feature {name!r} is {column.kind.value}, and holds no lists of ids",
                        field=field,
                    )
                return column
        raise UnknownFeature(f"the checkpoint has no feature {name!r}", field=field)

    def input_of(self, feature: Feature) -> InputSpec:
        """Return the input that holds the feature's values (or ids)."""
        return self.inputs[self.input_index[feature.input]]

    def baseline_row(self) -> dict[str, NDArray[np.generic]]:
        """Return the inputs of one example whose features are all absent, without batch axis."""
        row = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self.inputs}
        for feature in self.columns:
            if feature.column is None:
                row[feature.input][...] = feature.baseline
            else:
                row[feature.input][feature.column] = feature.baseline
        return row

    def _check_place(self, feature: Feature, name: str) -> None:
        if name not in self.input_index:
            raise CheckpointRefused(f"feature {feature.name!r}: there is no input {name!r}")
        spec = self.inputs[self.input_index[name]]
        is_weights = name == feature.weights_input
        dtype = np.dtype(np.float32) if is_weights else feature.kind.dtype
        scalar = feature.kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL)
        rank = 1 if feature.column is not None or not scalar else 0
        if spec.dtype != dtype or len(spec.shape) != rank:
            raise CheckpointRefused(
                f"feature {feature.name!r} of kind {feature.kind.value} needs a {dtype} input of "
                f"rank {rank} (without the batch dimension); {name!r} is {spec.dtype} "
                f"{list(spec.shape)}"
            )
        if feature.column is not None and not (scalar and 0 <= feature.column < spec.shape[0]):
            raise CheckpointRefused(
                f"feature {feature.name!r}: column {feature.column} is not in {name!r}"
            )

    def _check_covered(self) -> None:
        places = [(name, f.column) for f in self.columns for name in f.inputs]
        _check_unique("place of a feature", [f"{n}[{c}]" for n, c in places])
        taken = set(places)
        for spec in self.inputs:
            columns = [(spec.name, c) for c in range(spec.shape[0])] if spec.shape else []
            whole = (spec.name, None) in taken
            if not whole and (not columns or not taken.issuperset(columns)):
                raise CheckpointRefused(
                    f"input {spec.name!r} (or a column of it) belongs to no feature: every input "
                    "must be a feature with a baseline"
                )


@dataclass(frozen=True)
class Checkpoint:
    """What a manifest says, apart from where the program is.

    Raises:
        CheckpointRefused: classes are fewer than two, named twice, or have no logits.
    """

    model: str
    version: str
    trained_until: datetime
    output: Output
    threshold: float
    schema: Schema
    digest: str
    """SHA-256 of the manifest, in hexadecimal."""
    classes: tuple[str, ...] = ()
    """What the program tells apart, a logit each. None: it answers one value."""

    def __post_init__(self) -> None:
        _check_unique("class", self.classes)
        if len(self.classes) == 1:
            raise CheckpointRefused("one class is told from nothing: name all, or none")
        if self.classes and self.output is not Output.LOGIT:
            raise CheckpointRefused("a program with classes answers their logits: output is LOGIT")

    @property
    def name(self) -> str:
        """Resource name."""
        return f"models/{self.model}/checkpoints/{self.version}"

    def check_unseen(self, event_time: datetime) -> None:
        """Check that the checkpoint was not trained on examples of that time.

        Raises:
            SeenInTraining: it has seen data until after `event_time`.
        """
        if event_time < self.trained_until:
            raise SeenInTraining(
                f"{self.name} has seen data until {self.trained_until.isoformat()}, and these "
                f"examples are of {event_time.isoformat()}: importances of training data say "
                "nothing about an anomaly; use a checkpoint that was trained before",
                field="batch.event_time",
            )


def _check_baseline(feature: Feature) -> None:
    at = f"feature {feature.name!r}: baseline {feature.baseline}"
    if feature.kind is FeatureKind.NUMERIC:
        if not abs(feature.baseline) <= float(np.finfo(np.float32).max):
            raise CheckpointRefused(f"{at} is not a finite float32")
    elif feature.kind is FeatureKind.CATEGORICAL:
        if not (float(feature.baseline).is_integer() and abs(feature.baseline) <= _LARGEST_EXACT):
            raise CheckpointRefused(f"{at} is not an id")
        if feature.cardinality is not None and not 0 <= feature.baseline < feature.cardinality:
            raise CheckpointRefused(f"{at} is not in [0, {feature.cardinality})")
    elif feature.baseline != 0:
        raise CheckpointRefused(f"{at}: a {feature.kind.value} is absent when empty or null: 0")


def _check_unique(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CheckpointRefused(f"{what} {name!r} appears twice")
        seen.add(name)
