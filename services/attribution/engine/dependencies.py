"""Which features reach which element of every step, by conservative rules per operator.

The rules run on *labels*: a tensor shaped like one row of a value whose numbers name interned sets
of features. An operator that no rule covers makes every element depend on whatever reaches any of
its inputs.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Schema
from services.attribution.engine.feature_sets import FeatureSets
from services.attribution.engine.graph import Graph, Step, Value, resolved
from services.attribution.engine.labelling import (
    LabelCall,
    NotCovered,
    everything,
    rule_of,
    tensors_in,
    unlabelled,
)


class Dependencies:
    """Labels of every step's row, `[1, *shape]`; lists of labels where it answers a list."""

    def __init__(self, graph: Graph, schema: Schema, *, trusted: bool = True) -> None:
        """With `trusted` off, no rule is used: all that follows an input depends on everything."""
        self._trusted = trusted
        self.sets = FeatureSets()
        self.labels: dict[int, Value] = {}
        self._features: dict[int, int] = {}
        self.unknown: list[Step] = []
        """Steps that no rule covers."""
        for index, labels in zip(graph.inputs, self._of_inputs(schema), strict=True):
            self.labels[index] = labels
        constants = {i: unlabelled(value) for i, value in graph.constants.items()}
        for step in graph.steps:
            self.labels[step.index] = self._labels(step, constants, graph.constants)

    def _labels(
        self, step: Step, unlabelled: Mapping[int, Value], constants: Mapping[int, Value]
    ) -> Value:
        if step.is_batch_size:
            return 1
        environment = {i: self.labels.get(i, unlabelled.get(i)) for i in step.inputs}
        rule = rule_of(step) if self._trusted or step.overload == "python" else None
        labels = None
        if rule is not None:
            arguments = list(resolved(step.arguments, environment))
            with suppress(RuntimeError, TypeError, IndexError, ValueError, NotCovered):
                labels = rule(LabelCall(step, arguments, self.sets, constants))
        if labels is not None:
            return labels
        if any(isinstance(v, Tensor) for v in environment.values()):
            self.unknown.append(step)
        return everything(step, list(environment.values()), self.sets)

    def features(self, index: int) -> int:
        """Return the features that reach a step anywhere, as bits."""
        if index not in self._features:
            self._features[index] = self._features_of(index)
        return self._features[index]

    def _features_of(self, index: int) -> int:
        bits = 0
        for labels in tensors_in(self.labels.get(index)):
            for label in np.unique(labels.numpy()):
                bits |= self.sets.bits[int(label)]
        return bits

    def reached(self, index: int, features: Sequence[int]) -> Tensor:
        """Return which elements of a step's row each feature reaches, bool [features, *shape]."""
        labels = tensors_in(self.labels[index])[0]
        table = self.sets.members(max(features) + 1)[list(features)]
        return torch.from_numpy(table[:, labels[0].numpy()])

    def reaches_all(self, index: int, features: Sequence[int]) -> bool:
        """Return whether every element of a step depends on each of the features."""
        distinct = np.unique(tensors_in(self.labels[index])[0].numpy())
        wanted = sum(1 << j for j in features)
        return all(self.sets.bits[int(label)] & wanted == wanted for label in distinct)

    def owners(self, index: int, among: int) -> NDArray[np.int64] | None:
        """Return the one feature (among those given as bits) of each element of a step's row.

        -1 marks elements that none of them reaches. None: an element has several.
        """
        labels = self.labels[index]
        if not isinstance(labels, Tensor):
            return None
        return self._owners_of(labels[0].numpy(), among)

    def is_tower(self, index: int, among: int) -> bool:
        """Return whether no element of a step depends on more than one of the features."""
        tensors = tensors_in(self.labels[index])
        return all(self._owners_of(t.reshape(-1).numpy(), among) is not None for t in tensors)

    def _owners_of(self, row: NDArray[np.int64], among: int) -> NDArray[np.int64] | None:
        distinct, inverse = np.unique(row, return_inverse=True)
        owners = [_single(self.sets.bits[int(label)] & among) for label in distinct]
        if any(owner is None for owner in owners):
            return None
        return np.array(owners, dtype=np.int64)[inverse.reshape(-1)].reshape(row.shape)

    def _of_inputs(self, schema: Schema) -> Iterable[Tensor]:
        places: dict[str, list[tuple[int, int | None]]] = {}
        for j, feature in enumerate(schema.features):
            for column in feature.members:
                for name in column.inputs:
                    places.setdefault(name, []).append((j, column.column))
        for spec in schema.inputs:
            labels = torch.zeros((1, *spec.shape), dtype=torch.int64)
            for j, place in places.get(spec.name, ()):
                where = ... if place is None else (slice(None), place)
                labels[where] = self.sets.label(1 << j)
            yield labels


def _single(bits: int) -> int | None:
    if bits == 0:
        return -1
    return bits.bit_length() - 1 if bits & (bits - 1) == 0 else None
