"""Fits logistic regression and calibrates it on trials that the fit has not seen."""

from collections.abc import Sequence

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from clients.learn.trial import CannotLearn, Sample
from services.runbook.domain.learned import INPUTS, LearnedModel, Weight

_FOLDS = 5


def train(samples: Sequence[Sample], at_least: float) -> LearnedModel:
    """Return the model, calibrated by Platt's method across folds that share no trial.

    Raises:
        CannotLearn: fewer than five trials have a broken feature, or none has a healthy one.
    """
    groups = np.array([sample.trial for sample in samples])
    broken = np.array([sample.broken for sample in samples], bool)
    with_broken = len(set(groups[broken])) if len(samples) else 0
    if with_broken < _FOLDS or broken.all():
        raise CannotLearn(
            f"{with_broken} trials have a broken feature among their shifts: it takes {_FOLDS}, "
            "and healthy features beside them. Give records of more drills"
        )
    rows = np.array([[sample.inputs[name] for name in INPUTS] for sample in samples])
    weights = np.array([sample.weight for sample in samples])
    scaler = StandardScaler().fit(rows, sample_weight=weights)
    folds = StratifiedGroupKFold(_FOLDS).split(rows, broken, groups)
    fitted = CalibratedClassifierCV(LogisticRegression(), ensemble=False, cv=list(folds)).fit(
        scaler.transform(rows), broken, sample_weight=weights
    )
    inner = fitted.calibrated_classifiers_[0]
    platt, logistic = inner.calibrators[0], inner.estimator
    return LearnedModel(
        weights=tuple(
            Weight(name, float(coefficient), float(mean), float(scale))
            for name, coefficient, mean, scale in zip(
                INPUTS, logistic.coef_[0], scaler.mean_, scaler.scale_, strict=True
            )
        ),
        intercept=float(logistic.intercept_[0]),
        slope=float(-platt.a_),
        offset=float(-platt.b_),
        at_least=at_least,
    )
