"""Broken features in a model that learns from what it displays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clients.drill.ads.learning import Learner
from clients.drill.ads.population import HOURS_A_DAY
from clients.drill.ads.world import AdsHour
from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.corruptions import Constant, Corruption, Drop, Scale
from clients.drill.figures import lines
from clients.drill.schema import Feature, FeatureKind

_WORDS = {"Scale": "doubled", "Constant": "the same for everybody", "Drop": "lost"}
TITLE = "The feedback cascade with continuous training"
FAULTS = 3
LAST = 6
"""Hours at the end of a day."""
SETTLED = 3
"""Hours after a change until what is left is noise."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Hour:
    """An hour, and the mean prediction of what was considered in it."""

    hour: AdsHour
    mean: float
    expected: float
    """Predictions of what was displayed, summed up."""


def measure(worlds: Worlds) -> Measured:
    """A day broken, then a day mended, of the faults that move the mean prediction most.

    Predictions are held against those of a model that learnt from unbroken days, for the same
    unbroken examples: clicks would add more noise in an hour than there is to see.
    """
    healthy = worlds.learner()
    well = _healthy(healthy)
    faults = _worst(worlds.learner())
    numbers: Numbers = {
        "healthy_calibration": sum(h.expected for h in well) / _clicks([h.hour for h in well]),
        "faults": [],
    }
    series = {}
    for place, fault in enumerate(faults):
        broken = worlds.learner()
        played, ratios = _played(broken, fault, well)
        numbers["faults"].append({"fault": _told(fault), **_phases(ratios)})
        series[f"{fault.culprits[0]}, {_WORDS[type(fault).__name__]}"] = (
            list(range(len(ratios))),
            ratios.tolist(),
        )
        if place == 0:
            numbers |= _drifts(worlds, (healthy, broken), [h.hour for h in well], played)
    figure = lines(
        series,
        "hours since the fault; mended after a day",
        "mean prediction over that of a healthy model",
    )
    return Measured({"ads": numbers}, {"cascade.png": figure})


def _healthy(learner: Learner) -> list[_Hour]:
    """Play two days with nothing broken."""
    found = []
    for hour in learner.live(2 * HOURS_A_DAY):
        predictions = learner.score(hour.examples).astype(np.float64)
        expected = float(predictions[hour.displayed].sum())
        found.append(_Hour(hour, float(predictions.mean()), expected))
    return found


def _played(
    learner: Learner, fault: Corruption, well: Sequence[_Hour]
) -> tuple[list[AdsHour], Floats]:
    """Play a broken day and a mended one; return the hours, and predictions over healthy ones."""
    played, ratios = [], []
    for healthy, (hour, broken) in zip(well, _live(learner, fault), strict=True):
        examples = healthy.hour.examples
        served = broken.apply(examples).table if broken else examples
        played.append(hour)
        ratios.append(float(learner.score(served).mean(dtype=np.float64)) / healthy.mean)
    return played, np.array(ratios)


def _live(learner: Learner, fault: Corruption) -> Iterator[tuple[AdsHour, Corruption | None]]:
    for broken in (fault, None):
        for hour in learner.live(HOURS_A_DAY, broken):
            yield hour, broken


def _phases(ratios: Floats) -> dict[str, float]:
    broken, mended = ratios[:HOURS_A_DAY], ratios[HOURS_A_DAY:]
    return {
        "first": float(broken[0]),
        "last": float(broken[-LAST:].mean()),
        "mended_first": float(mended[0]),
        "mended_last": float(mended[-LAST:].mean()),
        "noise": float(np.concatenate([broken[SETTLED:], mended[SETTLED:]]).std(ddof=1)),
    }


def _drifts(
    worlds: Worlds,
    learners: tuple[Learner, Learner],
    well: Sequence[AdsHour],
    ill: Sequence[AdsHour],
) -> Numbers:
    """What the first fault did to labels and to the model."""
    examples = well[-1].examples
    healthy, broken = (learner.score(examples) for learner in learners)
    frozen = worlds.learner().score(examples)
    return {
        "healthy_click_rate": _click_rate(well[:HOURS_A_DAY]),
        "broken_click_rate": _click_rate(ill[:HOURS_A_DAY]),
        "displayed_otherwise": _otherwise(well[0], ill[0]),
        "concept_drift": float(np.abs(broken - healthy).mean() / frozen.mean()),
    }


def _told(fault: Corruption) -> str:
    return f"{type(fault).__name__} of {fault.culprits[0]}"


def _worst(learner: Learner) -> list[Corruption]:
    """The faults that move the mean prediction most, of lost, doubled and constant features."""
    (hour,) = learner.live(1, learns=False)
    mean = learner.score(hour.examples).mean()

    def moves(fault: Corruption) -> float:
        broken = fault.apply(hour.examples).table
        return float(abs(learner.score(broken).mean() / mean - 1))

    return sorted(map(_fault, learner.world.schema.features), key=moves)[: -FAULTS - 1 : -1]


def _fault(feature: Feature) -> Corruption:
    match feature.kind:
        case FeatureKind.NUMERIC:
            return Scale(feature.name, 2.0)
        case FeatureKind.CATEGORICAL:
            return Constant(feature.name, (feature.cardinality or 2) - 1)
        case _:
            return Drop((feature.name,))


def _clicks(hours: Sequence[AdsHour]) -> int:
    return sum(int(hour.clicked.sum()) for hour in hours)


def _click_rate(hours: Sequence[AdsHour]) -> float:
    return _clicks(hours) / sum(int(hour.displayed.sum()) for hour in hours)


def _otherwise(one: AdsHour, other: AdsHour) -> float:
    """Share of what one hour displayed that the other did not."""
    return float((one.displayed & ~other.displayed).sum() / one.displayed.sum())


def tell(numbers: Numbers) -> str:
    """What came out."""
    found = numbers["ads"]
    rows = [
        "In the ads world one feature breaks for a day and is well again the next, while the model "
        "goes on to learn, hour by hour, from what it displays: the faults that move the mean "
        "prediction most, each by itself. What it predicts of an hour is held against what a model "
        "that never saw the fault predicts of the same examples unbroken, whose calibration is "
        f"{found['healthy_calibration']:.2f}.",
        "",
        "| fault | first hour broken | last six hours | first hour mended | last six hours "
        "| any hour's noise |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in found["faults"]:
        kind, _, feature = one["fault"].partition(" of ")
        phases = ("first", "last", "mended_first", "mended_last", "noise")
        cells = " | ".join(f"{one[name]:.2f}" for name in phases)
        rows.append(f"| `{feature}`, {_WORDS[kind]} | {cells} |")
    return "\n".join(
        [
            *rows,
            "",
            "Near 1 at the end of the broken day, the model has absorbed the fault. In the first "
            "hour mended it then errs to the other side: mending the pipeline is an anomaly of its "
            "own, a *reverse anomaly*, which is absorbed in turn. Two models that learn from "
            "different displays differ anyway: the noise is the standard deviation over the hours "
            f"that are {SETTLED} or more after a change.",
            "",
            f"- Label drift by the first fault: {found['displayed_otherwise']:.0%} of what would "
            "have been displayed in the first hour is not, and the click rate of the broken day is "
            f"{found['broken_click_rate']:.3f} instead of {found['healthy_click_rate']:.3f}.",
            "- Concept drift: a day after all features are well again, the two models' predictions "
            f"of the same unbroken examples differ by {found['concept_drift']:.0%} of the mean "
            "prediction.",
            "",
            "![predictions by hour](figures/cascade.png)",
        ]
    )
