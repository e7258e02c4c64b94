"""Appends ids to a list of examples, and predicts again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Checkpoint, Feature, FeatureKind
from services.attribution.domain.errors import IdOutOfRange, WrongDataType
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import log_odds, sigmoid
from services.attribution.predict import Predict


@dataclass(frozen=True)
class InsertionOutcome:
    """What a checkpoint says to examples with one more id; means are 0 where there are none."""

    id: int
    example_count: int
    """Examples that it was appended to."""
    skipped_count: int
    """Examples that hold it already, or whose list is full."""
    flipped_up: int
    """Predictions that crossed the checkpoint's threshold upwards."""
    flipped_down: int
    mean_prediction: float
    inserted_mean_prediction: float
    mean_logit_change_below: float
    """Of examples that were predicted below the threshold."""
    mean_logit_change_above: float
    to_class: str = ""
    """Of a checkpoint with classes, the one that most predictions flip to: all is about it, and a
    prediction of it counts as above the threshold."""


@dataclass(frozen=True, eq=False)
class Insert:
    """Tests ids of one id-list feature on the same examples."""

    predict: Predict
    feature: Feature
    samples: Sequence[Examples]

    @classmethod
    def into(cls, predict: Predict, feature: str, samples: Sequence[Examples]) -> "Insert":
        """Return the test of a feature by name.

        Raises:
            UnknownFeature: the checkpoint has no such feature.
            WrongDataType: it is no list of ids.
        """
        column = predict.predictor.checkpoint.schema.list_of_ids(feature, "feature")
        if column.kind is not FeatureKind.ID_LIST:
            raise WrongDataType(
                f"feature {feature!r} is {column.kind.value}: ids are inserted into an "
                f"{FeatureKind.ID_LIST.value}",
                field="feature",
            )
        return cls(predict, column, samples)

    def __call__(self, inserted: int) -> InsertionOutcome:
        """Return what one id does that the feature can hold.

        Raises:
            NotFinite: a prediction is NaN or infinite.
        """
        free = [self._free(sample, inserted) for sample in self.samples]
        tested = [s.take(np.flatnonzero(f)) for s, f in zip(self.samples, free, strict=True)]
        before = np.concatenate([self._logits(sample) for sample in tested])
        after = np.concatenate([self._logits(self._with(s, inserted)) for s in tested])
        skipped = sum(sample.count for sample in self.samples) - len(before)
        return _outcome(inserted, skipped, before, after, self.predict.predictor.checkpoint)

    def can_hold(self, inserted: int) -> bool:
        """Whether the feature can hold an id; 0 is what its lists are padded with."""
        cardinality = self.feature.cardinality
        return inserted != 0 if cardinality is None else 0 < inserted < cardinality

    def check(self, ids: Sequence[int]) -> None:
        """Check that the feature can hold all of them.

        Raises:
            IdOutOfRange: it cannot.
        """
        for position, inserted in enumerate(ids):
            if not self.can_hold(inserted):
                raise IdOutOfRange(
                    f"feature {self.feature.name!r} holds no id {inserted}: ids are in "
                    f"[1, {self.feature.cardinality or '2^63'}), and 0 is what lists are padded "
                    "with",
                    field=f"ids[{position}]",
                )

    def _free(self, sample: Examples, inserted: int) -> NDArray[np.bool_]:
        """Return which examples have room and do not hold the id, bool [N]."""
        lists = sample.arrays[self.feature.input]
        has_room, is_absent = (lists == 0).any(axis=1), (lists != inserted).all(axis=1)
        return np.asarray(has_room & is_absent, dtype=np.bool_)

    def _with(self, sample: Examples, inserted: int) -> Examples:
        lists = sample.arrays[self.feature.input].copy()
        # Lists are padded at the end: the first 0 is behind the last id.
        lists[np.arange(len(lists)), (lists == 0).argmax(axis=1)] = inserted
        return Examples(sample.schema, {**sample.arrays, self.feature.input: lists})

    def _logits(self, sample: Examples) -> NDArray[np.float64]:
        if sample.count:
            return self.predict(sample)
        classes = len(self.predict.predictor.checkpoint.classes)
        return np.empty((0, classes) if classes else 0)


@dataclass(frozen=True, eq=False)
class _Said:
    """What a checkpoint says of an event in each example."""

    logits: NDArray[np.float64]
    """[N]"""
    is_event: NDArray[np.bool_]
    """[N] it is predicted."""


def _outcome(
    inserted: int,
    skipped: int,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    checkpoint: Checkpoint,
) -> InsertionOutcome:
    if checkpoint.classes:
        target = _gaining_class(before, after)
        to_class = checkpoint.classes[target]
        was, becomes = _of_class(before, target), _of_class(after, target)
    else:
        to_class = ""
        was, becomes = (_of_event(said, checkpoint.threshold) for said in (before, after))
    change = becomes.logits - was.logits
    return InsertionOutcome(
        id=inserted,
        example_count=len(before),
        skipped_count=skipped,
        flipped_up=int((~was.is_event & becomes.is_event).sum()),
        flipped_down=int((was.is_event & ~becomes.is_event).sum()),
        mean_prediction=_mean(sigmoid(was.logits)),
        inserted_mean_prediction=_mean(sigmoid(becomes.logits)),
        mean_logit_change_below=_mean(change[~was.is_event]),
        mean_logit_change_above=_mean(change[was.is_event]),
        to_class=to_class,
    )


def _of_event(logits: NDArray[np.float64], threshold: float) -> _Said:
    return _Said(logits, sigmoid(logits) >= threshold)


def _of_class(logits: NDArray[np.float64], target: int) -> _Said:
    return _Said(log_odds(logits, target), logits.argmax(axis=1) == target)


def _gaining_class(before: NDArray[np.float64], after: NDArray[np.float64]) -> int:
    """Return the class that most predictions flip to; among equals, whose probability rises most.

    Args:
        before: logits [N, C].
        after: logits [N, C].
    """
    was, becomes = before.argmax(axis=1), after.argmax(axis=1)
    classes = before.shape[1]
    gained = np.bincount(becomes[becomes != was], minlength=classes)
    rises = [
        _mean(sigmoid(log_odds(after, each)) - sigmoid(log_odds(before, each)))
        for each in range(classes)
    ]
    return max(range(classes), key=lambda each: (gained[each], rises[each]))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
