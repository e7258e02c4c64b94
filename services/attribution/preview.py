"""Foretells what a mitigation would do to the mean prediction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.attribution.domain.example import Examples
from services.attribution.domain.logit import sigmoid
from services.attribution.predict import Predict


@dataclass(frozen=True)
class MitigationPreview:
    """Mean predictions over the same examples, without and with the mitigation."""

    example_count: int
    mean_prediction: float
    mitigated_mean_prediction: float
    ratio_standard_error: float
    """Of the second mean over the first; infinite when there is but one example."""


@dataclass(frozen=True)
class Preview:
    """Scores examples as they are and with a set of features ablated together."""

    predict: Predict

    def __call__(self, samples: Sequence[Examples], features: Sequence[str]) -> MitigationPreview:
        """Return the preview over all samples.

        Raises:
            UnknownFeature: a name is not in the checkpoint's schema.
            NotFinite: a prediction is NaN or infinite.
        """
        schema = self.predict.predictor.checkpoint.schema
        ablated = [schema.features[place] for place in schema.positions(features)]
        without = [sample.ablated(ablated) for sample in samples]
        return _compared(_predictions(self.predict, samples), _predictions(self.predict, without))


@dataclass(frozen=True)
class PreviewMask:
    """Scores examples as they are and with ids left out of their lists."""

    predict: Predict

    def __call__(
        self, samples: Sequence[Examples], masks: Sequence[tuple[str, Collection[int]]]
    ) -> MitigationPreview:
        """Return the preview over all samples; `masks` are features with their ids.

        Raises:
            UnknownFeature: the checkpoint has no such feature.
            WrongDataType: it holds no lists of ids.
            NotFinite: a prediction is NaN or infinite.
        """
        schema = self.predict.predictor.checkpoint.schema
        without = list(samples)
        for place, (name, ids) in enumerate(masks):
            feature = schema.list_of_ids(name, f"masks[{place}].feature")
            without = [sample.without_ids(feature, ids) for sample in without]
        return _compared(_predictions(self.predict, samples), _predictions(self.predict, without))


@dataclass(frozen=True)
class PreviewReplacement:
    """Scores the same examples by the checkpoint that is served and by another one."""

    served: Predict
    replacement: Predict

    def __call__(
        self, samples: Sequence[Examples], replaced: Sequence[Examples]
    ) -> MitigationPreview:
        """Return the preview; `replaced` are the samples by the replacement's schema.

        Raises:
            NotFinite: a prediction is NaN or infinite.
        """
        return _compared(
            _predictions(self.served, samples), _predictions(self.replacement, replaced)
        )


def _predictions(predict: Predict, samples: Sequence[Examples]) -> NDArray[np.float64]:
    return np.concatenate([sigmoid(predict(sample)) for sample in samples])


def _compared(before: NDArray[np.float64], after: NDArray[np.float64]) -> MitigationPreview:
    return MitigationPreview(
        example_count=len(before),
        mean_prediction=float(before.mean()),
        mitigated_mean_prediction=float(after.mean()),
        ratio_standard_error=ratio_standard_error(after, before),
    )


def ratio_standard_error(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64]
) -> float:
    """Return the standard error of mean(numerators) / mean(denominators) by the delta method.

    With R the ratio, it is that of the mean of the residuals `numerators - R denominators`, over
    the mean of the denominators.
    """
    count = len(numerators)
    if count < 2:
        return float("inf")
    mean = denominators.mean()
    residuals = numerators - numerators.mean() / mean * denominators
    return float(residuals.std(ddof=1) / np.sqrt(count) / mean)
