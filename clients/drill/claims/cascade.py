"""One broken feature in a model that learns from what it displays."""

from collections.abc import Sequence

import numpy as np

from clients.drill.ads.learning import Learner
from clients.drill.ads.population import HOURS_A_DAY
from clients.drill.ads.world import AdsHour
from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.corruptions import Constant, Corruption, Drop, Scale
from clients.drill.figures import lines
from clients.drill.schema import Feature, FeatureKind

_WORDS = {"Scale": "doubled", "Constant": "the same for everybody", "Drop": "lost"}
TITLE = "The feedback cascade with continuous training"


def measure(worlds: Worlds) -> Measured:
    """A day broken, then a day mended; the same days with nothing broken beside it.

    The feature that breaks is the one whose loss moves the mean prediction most.
    """
    healthy, broken = worlds.learner(), worlds.learner()
    fault = _worst(worlds.learner())
    frozen = worlds.learner()
    well = _played(healthy, [None, None])
    ill = _played(broken, [fault, None])
    calibration = {
        "nothing broken": [_calibration(healthy_hour) for healthy_hour in well],
        "broken for a day, then mended": [_calibration(hour) for hour in ill],
    }
    hours = list(range(len(ill)))
    figure = lines(
        {name: (hours, values) for name, values in calibration.items()},
        "hours since the fault",
        "expected over observed clicks, by hour",
    )
    day = slice(0, HOURS_A_DAY)
    examples = well[-1].hour.examples
    concept = np.abs(broken.score(examples) - healthy.score(examples)).mean()
    return Measured(
        {
            "ads": {
                "fault": f"{type(fault).__name__} of {fault.culprits[0]}",
                "healthy": _ratio(well[day]),
                "first_hours": _ratio(ill[:3]),
                "last_hours": _ratio(ill[HOURS_A_DAY - 6 : HOURS_A_DAY]),
                "mended_first_hours": _ratio(ill[HOURS_A_DAY : HOURS_A_DAY + 3]),
                "mended_last_hours": _ratio(ill[-6:]),
                "healthy_click_rate": _click_rate(well[day]),
                "broken_click_rate": _click_rate(ill[day]),
                "displayed_otherwise": _otherwise(well[0].hour, ill[0].hour),
                "concept_drift": float(concept / frozen.score(examples).mean()),
            }
        },
        {"cascade.png": figure},
    )


class _Hour:
    """An hour with the predictions that were made of what it displayed."""

    def __init__(self, hour: AdsHour, expected: float) -> None:
        self.hour = hour
        self.expected = expected
        self.clicks = int(hour.clicked.sum())


def _played(learner: Learner, faults: Sequence[Corruption | None]) -> list[_Hour]:
    found = []
    for fault in faults:
        for hour in learner.live(HOURS_A_DAY, fault):
            shown = learner.score(hour.examples)[hour.displayed]
            found.append(_Hour(hour, float(shown.sum())))
    return found


def _worst(learner: Learner) -> Corruption:
    """The fault that moves the mean prediction most, among lost, doubled and constant features."""
    (hour,) = learner.live(1, learns=False)
    mean = learner.score(hour.examples).mean()

    def moves(fault: Corruption) -> float:
        broken = fault.apply(hour.examples).table
        return float(abs(learner.score(broken).mean() / mean - 1))

    return max(map(_fault, learner.world.schema.features), key=moves)


def _fault(feature: Feature) -> Corruption:
    match feature.kind:
        case FeatureKind.NUMERIC:
            return Scale(feature.name, 2.0)
        case FeatureKind.CATEGORICAL:
            return Constant(feature.name, (feature.cardinality or 2) - 1)
        case _:
            return Drop((feature.name,))


def _ratio(hours: Sequence[_Hour]) -> float:
    return sum(h.expected for h in hours) / max(sum(h.clicks for h in hours), 1)


def _click_rate(hours: Sequence[_Hour]) -> float:
    return sum(h.clicks for h in hours) / sum(int(h.hour.displayed.sum()) for h in hours)


def _otherwise(one: AdsHour, other: AdsHour) -> float:
    """Share of what one hour displayed that the other did not."""
    return float((one.displayed & ~other.displayed).sum() / one.displayed.sum())


def _calibration(hour: _Hour) -> float:
    return hour.expected / max(hour.clicks, 1)


def tell(numbers: Numbers) -> str:
    """What came out."""
    found = numbers["ads"]
    kind, _, feature = found["fault"].partition(" of ")
    return "\n".join(
        [
            f"In the ads world `{feature}` is {_WORDS[kind]} for a day and well again the next, "
            "while the model goes on to learn, hour by hour, from what it displays. Calibration is "
            f"expected over observed clicks; with nothing broken {found['healthy']:.2f} over the "
            "day.",
            "",
            "| hours | calibration |",
            "| --- | --- |",
            f"| the first three broken | {found['first_hours']:.2f} |",
            f"| the last six broken | {found['last_hours']:.2f} |",
            f"| the first three mended | {found['mended_first_hours']:.2f} |",
            f"| the last six mended | {found['mended_last_hours']:.2f} |",
            "",
            f"- Label drift: {found['displayed_otherwise']:.0%} of what would have been displayed "
            "in the first hour is not, and the click rate of the broken day is "
            f"{found['broken_click_rate']:.3f} instead of {found['healthy_click_rate']:.3f}.",
            "- Concept drift: a day after all features are well again, the two models' predictions "
            f"of the same unbroken examples differ by {found['concept_drift']:.0%} of the mean "
            "prediction.",
            "",
            "![calibration by hour](figures/cascade.png)",
        ]
    )
