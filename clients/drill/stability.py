"""The population stability index, by which drift detectors rank features."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.schema import FeatureKind, Schema
from clients.drill.series import Series, series_of

_BINS = 10
_LEAST_SHARE = 1e-4


def psi(control: Series, anomaly: Series, *, is_categorical: bool) -> float:
    """Return the population stability index, with a bin for what is missing.

    Bins are the control's deciles, or its ten most frequent categories and the rest.
    """
    edges = _categories(control) if is_categorical else _deciles(control)
    shares = [
        np.maximum(_shares(s, edges, is_categorical), _LEAST_SHARE) for s in (control, anomaly)
    ]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def indices(schema: Schema, control: pa.Table, anomaly: pa.Table) -> dict[str, float]:
    """Return the index of each feature by its name, of the examples of two windows."""
    return {
        feature.name: psi(
            series_of(feature, control),
            series_of(feature, anomaly),
            is_categorical=feature.kind is FeatureKind.CATEGORICAL,
        )
        for feature in schema.features
    }


def _deciles(control: Series) -> NDArray[np.float64]:
    known = control[~np.isnan(control)]
    if not len(known):
        return np.zeros(1)
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))


def _categories(control: Series) -> NDArray[np.float64]:
    values, counts = np.unique(control[~np.isnan(control)], return_counts=True)
    return np.sort(values[np.argsort(-counts, kind="stable")][:_BINS])


def _shares(
    series: Series, edges: NDArray[np.float64], is_categorical: bool
) -> NDArray[np.float64]:
    known = series[~np.isnan(series)]
    if is_categorical:
        places = np.where(np.isin(known, edges), np.searchsorted(edges, known), len(edges))
    else:
        places = np.searchsorted(edges, known, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return np.append(counts, len(series) - len(known)) / len(series)
