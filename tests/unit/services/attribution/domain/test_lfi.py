"""Both equations, against arithmetic with sixty digits."""

import doctest
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.attribution.domain import lfi
from services.attribution.domain.ablation import Ablations
from services.attribution.domain.lfi import LfiMethod, attribute, pseudo_loss, relative

LARGEST = Decimal(float(np.finfo(np.float32).max))
SMALLEST = Decimal(float(np.finfo(np.float32).tiny))

logits = st.floats(-150, 150, allow_subnormal=False)
deltas = st.floats(-300, 300).filter(lambda d: abs(d) > 1e-60)
thresholds = st.floats(0.001, 0.999)


def array(value: float) -> NDArray[np.float64]:
    return np.array([value])


def probability(logit: Decimal) -> Decimal:
    return 1 / (1 + (-logit).exp())


def expected(z: float, d: float, threshold: float | None) -> Decimal:
    """Return equation 1 with a threshold, equation 2 without."""
    before, after = Decimal(z), Decimal(z) + Decimal(d)
    if threshold is None:
        return 1 - probability(after) / probability(before)
    if probability(before) >= Decimal(threshold):
        return (probability(after) / probability(before)).ln()
    return (probability(-after) / probability(-before)).ln()


def check(value: np.float32, exact: Decimal) -> None:
    magnitude = min(max(abs(exact), SMALLEST), LARGEST)
    assert (value > 0) == (exact > 0)
    assert abs(abs(Decimal(float(value))) - magnitude) <= magnitude * Decimal("1e-6")


@given(logits, deltas, thresholds)
def test_equation_1(z: float, d: float, threshold: float) -> None:
    with localcontext(prec=160):
        p = probability(Decimal(z))
        if abs(p - Decimal(threshold)) < Decimal("1e-12"):
            return
        check(pseudo_loss(array(z), array(d), threshold)[0], expected(z, d, threshold))


@given(logits, deltas)
def test_equation_2(z: float, d: float) -> None:
    with localcontext(prec=160):
        check(relative(array(z), array(d))[0], expected(z, d, None))


@given(logits, thresholds)
def test_an_importance_is_zero_if_and_only_if_the_delta_is(z: float, threshold: float) -> None:
    tiny = np.nextafter(0.0, 1.0)
    for d in (tiny, -tiny):
        assert pseudo_loss(array(z), array(d), threshold)[0] != 0
        assert relative(array(z), array(d))[0] != 0
    assert pseudo_loss(array(z), array(0.0), threshold)[0] == 0
    assert relative(array(z), array(0.0))[0] == 0


def test_the_pseudo_label_takes_the_threshold_itself() -> None:
    at, below = array(0.0), array(-1e-9)
    d = array(1.0)
    assert pseudo_loss(at, d, 0.5)[0] == pytest.approx(np.log(0.7310585786 / 0.5))
    assert pseudo_loss(below, d, 0.5)[0] == pytest.approx(np.log((1 - 0.7310585786) / 0.5))


@pytest.mark.parametrize("method", LfiMethod)
def test_a_batch_keeps_its_places(method: LfiMethod) -> None:
    ablations = Ablations(
        logits=np.array([0.5, -1.0, 2.0], dtype=np.float32),
        offsets=np.array([0, 2, 2, 3], dtype=np.uint32),
        example_indices=np.array([0, 2, 1], dtype=np.uint32),
        deltas=np.array([0.25, -0.5, 1.5], dtype=np.float32),
    )
    result = attribute(ablations, method, threshold=0.5)
    dense = result.dense()
    assert result.values.dtype == result.predictions.dtype == np.float32
    assert dense.shape == (3, 3)
    assert np.argwhere(dense).tolist() == [[0, 0], [1, 2], [2, 0]]
    assert dense[[0, 2, 1], [0, 0, 2]].tolist() == result.values.tolist()
    assert result.predictions == pytest.approx(1 / (1 + np.exp([-0.5, 1.0, -2.0])))


def test_the_docstring_is_true() -> None:
    names = {"np": np, "Ablations": Ablations}
    assert doctest.testmod(lfi, extraglobs=names) == (0, 1)
