"""What others would rank features by, on the same windows."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.drill.schema import Feature, FeatureKind, Schema
from clients.drill.series import Series
from clients.drill.stability import psi

Index = Callable[[Schema, Sequence[Series], Sequence[Series]], NDArray[np.float64]]
"""How far each feature's values are apart, [M], from those of the control and of the anomaly."""


def ks(control: Series, anomaly: Series) -> float:
    """Return the Kolmogorov-Smirnov statistic, what is missing taken for the least of values.

    Ids are taken for numbers. Of windows of one size, features have the same order by it as by its
    p-value, which underflows.
    """
    sides = [np.sort(np.nan_to_num(side, nan=-np.inf)) for side in (control, anomaly)]
    both = np.concatenate(sides)
    shares = [np.searchsorted(side, both, side="right") / len(side) for side in sides]
    return float(np.abs(shares[0] - shares[1]).max())


def kss(
    schema: Schema, control: Sequence[Series], anomaly: Sequence[Series]
) -> NDArray[np.float64]:
    """Return each feature's statistic, [M]."""
    return np.array([ks(c, a) for c, a in zip(control, anomaly, strict=True)])


def psis(
    schema: Schema, control: Sequence[Series], anomaly: Sequence[Series]
) -> NDArray[np.float64]:
    """Return each feature's index, [M]."""
    return np.array(
        [
            psi(c, a, is_categorical=f.kind is FeatureKind.CATEGORICAL)
            for f, c, a in zip(schema.features, control, anomaly, strict=True)
        ]
    )


INDICES: Mapping[str, Index] = {"psi": psis, "ks": kss}


@dataclass(frozen=True)
class Drift:
    """How far columns drifted by `evidently`, in multiples of its limit; by place."""

    excess: Mapping[int, float]


def import_evidently() -> None:
    """Import the package, which takes seconds, before it is asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import evidently.metrics  # noqa: F401


def drifts_of(
    features: Sequence[Feature], columns: Sequence[tuple[Series, Series]], places: Sequence[int]
) -> Drift:
    """Return how far each feature's column drifted from control to anomaly.

    By the real package `evidently`, with its own choice of distance and limit; it takes long to
    import, so this is called in a process of its own.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from evidently import Report
        from evidently.metrics import ValueDrift

        sides = [_dataset(features, [pair[side] for pair in columns]) for side in (1, 0)]
        report = Report([ValueDrift(column=feature.name) for feature in features])
        metrics = report.run(*sides).dict()["metrics"]
    return Drift(dict(zip(places, map(_excess, metrics), strict=True)))


def _dataset(features: Sequence[Feature], columns: Sequence[Series]) -> Any:
    import pandas
    from evidently import DataDefinition, Dataset

    known = {f.name: np.nan_to_num(c, nan=0.0) for f, c in zip(features, columns, strict=True)}
    categories = [f.name for f in features if f.kind is FeatureKind.CATEGORICAL]
    for name in categories:
        known[name] = known[name].astype(np.int64).astype(str)
    numbers = [name for name in known if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    return Dataset.from_pandas(pandas.DataFrame(known), data_definition=definition)


def _excess(metric: Mapping[str, Any]) -> float:
    """Return a distance over its limit; of a p-value the other way round."""
    value, limit = float(metric["value"]), float(metric["config"]["threshold"])
    if "p_value" in metric["config"]["method"]:
        return limit / max(value, 1e-300)
    return value / limit
