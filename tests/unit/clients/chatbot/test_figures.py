"""Plots, whatever the data and the names."""

import io
from datetime import UTC, datetime, timedelta

import matplotlib.image
import pytest

from clients.chatbot.adapters.figures import (
    DARK,
    LIGHT,
    CalibrationPoint,
    ImportancePoint,
    LfiDistribution,
    Theme,
    calibrations,
    importances,
    lfis,
)
from tests.unit.clients.chatbot.incidents import NASTY

START = datetime(2026, 11, 22, tzinfo=UTC)


def size_of(png: bytes) -> tuple[int, int]:
    height, width, _ = matplotlib.image.imread(io.BytesIO(png), format="png").shape
    return width, height


def corner_of(png: bytes) -> list[int]:
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    return [round(float(value) * 255) for value in pixels[0, 0, :3]]


def points(*names: str) -> list[ImportancePoint]:
    quiet = [ImportancePoint(f"f{n}", n / 100, n / 100, is_culprit=False) for n in range(20)]
    return [*quiet, *(ImportancePoint(name, 0.008, 1.18, is_culprit=True) for name in names)]


@pytest.mark.parametrize(("theme", "corner"), [(LIGHT, [255, 255, 255]), (DARK, [26, 29, 33])])
def test_they_stand_on_the_theme_and_fit_a_phone(theme: Theme, corner: list[int]) -> None:
    png = importances(points("user_embedding"), theme)
    assert size_of(png) == (960, 720)
    assert corner_of(png) == corner


def test_equal_data_makes_equal_bytes() -> None:
    assert importances(points("a"), LIGHT) == importances(points("a"), LIGHT)
    assert importances(points("a"), LIGHT) != importances(points("b"), LIGHT)


@pytest.mark.parametrize("name", [*NASTY, "$x_1$ \\frac{1}{0}", "$", "_hidden"])
def test_names_are_letters_and_nothing_else(name: str) -> None:
    assert size_of(importances(points(name), LIGHT)) == (960, 720)
    window = LfiDistribution("now", 0.5, tuple(range(-16, 17)))
    assert size_of(lfis(name, [window], LIGHT)) == (960, 720)


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [ImportancePoint("a", 0.0, 0.0, is_culprit=True)],
        [ImportancePoint("a", 0.0, 1e-12, is_culprit=False)],
        [ImportancePoint("a", 1e9, 0.0, is_culprit=True)],
    ],
)
def test_importances_at_the_edge(shown: list[ImportancePoint]) -> None:
    assert size_of(importances(shown, DARK)) == (960, 720)


def test_calibrations_with_and_without_a_break() -> None:
    healthy = [
        CalibrationPoint(START + timedelta(hours=n), 1.0, 0.97, 1.03, is_anomalous=n > 3)
        for n in range(6)
    ]
    broken = calibrations(healthy, START + timedelta(hours=4), LIGHT)
    assert broken != calibrations(healthy, None, LIGHT)
    assert size_of(calibrations(healthy[:1], None, DARK)) == (960, 720)


@pytest.mark.parametrize("coverage", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("values", [(), (0.5,) * 33, tuple(range(1, 34)), tuple(range(-33, 0))])
def test_distributions_at_the_edge(coverage: float, values: tuple[float, ...]) -> None:
    window = LfiDistribution("before", coverage, values)
    assert size_of(lfis("a", [window, window], LIGHT)) == (960, 720)
