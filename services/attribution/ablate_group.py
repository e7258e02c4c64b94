"""Ablates features together, as if they were one, and each alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import AnyFeature, Group, Schema
from services.attribution.domain.example import Examples
from services.attribution.domain.importance import Importance, importance_of
from services.attribution.domain.lfi import LfiMethod, SparseLfi
from services.attribution.explain import Explain
from services.attribution.plain_ablation import PlainAblation
from services.attribution.ports import Scorer


@dataclass(frozen=True)
class GroupImportance:
    """Importances of a group in one window."""

    joint: Importance
    members: Sequence[Importance]
    """Of each ablated alone, in the group's order."""


@dataclass(frozen=True)
class AblateGroup:
    """Measures a group of a checkpoint's features. A group is one feature of several columns."""

    scorer: Scorer
    schema: Schema
    """The checkpoint's, with the group as its first feature."""
    wanted: Sequence[int]
    """Positions of the members among the checkpoint's features."""
    method: LfiMethod
    block_examples: int

    @classmethod
    def of(
        cls, scorer: Scorer, features: Sequence[str], method: LfiMethod, block_examples: int
    ) -> "AblateGroup":
        """Return what measures these features, by name.

        Raises:
            UnknownFeature: the checkpoint has no feature of that name.
        """
        schema = scorer.checkpoint.schema
        wanted = schema.positions(features)
        return cls(scorer, _together(schema, wanted), wanted, method, block_examples)

    def __call__(self, samples: Sequence[Examples]) -> GroupImportance:
        """Return the importances over all samples of a window.

        Raises:
            NotFinite: a prediction is NaN or infinite.
        """
        alone = Explain(self.scorer.ablator, self.method, self.block_examples)
        joint = Explain(
            PlainAblation(self.scorer.predictor, self.block_examples),
            self.method,
            self.block_examples,
        )
        count = sum(sample.count for sample in samples)
        members = self._columns(alone, samples, self.wanted)
        (together,) = self._columns(joint, [replace(s, schema=self.schema) for s in samples], [0])
        return GroupImportance(
            joint=importance_of(together, count),
            members=[importance_of(values, count) for values in members],
        )

    def _columns(
        self, explain: Explain, samples: Sequence[Examples], wanted: Sequence[int]
    ) -> list[NDArray[np.float32]]:
        """Return the LFIs that are not zero of each of the wanted features."""
        mask = np.zeros(len(samples[0].schema.features), dtype=np.bool_)
        mask[list(wanted)] = True
        parts = [_by_feature(explain(sample, features=mask)) for sample in samples]
        return [np.concatenate([part[place] for part in parts]) for place in wanted]


def _by_feature(lfi: SparseLfi) -> list[NDArray[np.float32]]:
    return [lfi.values[start:end] for start, end in pairwise(lfi.offsets.tolist())]


def _together(schema: Schema, wanted: Sequence[int]) -> Schema:
    """Return the schema with some features made one, which comes first."""
    chosen = set(wanted)
    members = tuple(c for place in wanted for c in schema.features[place].members)
    others: list[AnyFeature] = [f for place, f in enumerate(schema.features) if place not in chosen]
    # No feature has a name so long: it is theirs together.
    name = " + ".join(feature.name for feature in schema.features)
    return Schema(schema.inputs, (Group(name, members), *others))
