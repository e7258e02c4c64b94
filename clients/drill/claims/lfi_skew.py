"""Figure 1: the pseudo-loss (equation 1) skews LFIs to small values, more than equation 2 does."""

import numpy as np

from aftershock.v1.importance_pb2 import LfiMethod
from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.figures import histograms

TITLE = "Figure 1: equation 1 is more skewed to small values than equation 2"
FEWEST = 100
"""Examples with a non-zero LFI that a feature needs to be looked at."""


def measure(worlds: Worlds) -> Measured:
    """By feature: how large non-zero |LFI| are by either equation, and how they crowd.

    Crowding is the median over the mean: the smaller, the more skewed.
    """
    numbers: Numbers = {}
    figures = {}
    for subject in worlds.all():
        examples = subject.slices[0].examples
        laboratory = worlds.laboratory(subject)
        loss = np.abs(laboratory.lfis(examples, LfiMethod.LFI_METHOD_PSEUDO_LOSS).values)
        relative = np.abs(laboratory.lfis(examples, LfiMethod.LFI_METHOD_RELATIVE).values)
        present = np.flatnonzero((loss > 0).sum(axis=0) >= FEWEST)
        skew = np.array([[_skew(lfis[:, j]) for j in present] for lfis in (loss, relative)])
        medians = np.array([[_median(lfis[:, j]) for j in present] for lfis in (loss, relative)])
        shown = present[np.argmax(loss[:, present].mean(axis=0))]
        name = subject.schema.names()[shown]
        figures[f"figure-1-{subject.name}.png"] = histograms(
            {
                "equation 2, relative change": relative[relative[:, shown] > 0, shown],
                "equation 1, pseudo-loss": loss[loss[:, shown] > 0, shown],
            },
            f"{subject.name}: {name}",
            "|LFI|",
        )
        numbers[subject.name] = {
            "features": len(present),
            "smaller": int((medians[0] < medians[1]).sum()),
            "median_ratio": float(np.median(medians[0] / medians[1])),
            "more_skewed": int((skew[0] < skew[1]).sum()),
            "median_over_mean_eq1": float(np.median(skew[0])),
            "median_over_mean_eq2": float(np.median(skew[1])),
            "shown": name,
        }
    return Measured(numbers, figures)


def _skew(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    present = values[values > 0]
    return float(np.median(present) / present.mean())


def _median(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.median(values[values > 0]))


def tell(numbers: Numbers) -> str:
    """What came out."""
    lines = [
        "To first order equation 2 divides the change of the prediction p by p, and equation 1 by "
        "the larger of p and 1 - p: its LFIs are the smaller ones, and most so where predictions "
        "are close to their pseudo-label 0. Crowding is the median of a feature's non-zero LFIs "
        "over their mean (0.69 for an exponential distribution), less the more they crowd at small "
        "values whatever their scale; that depends on how a model's predictions are spread.",
        "",
        "| world | features | smaller by equation 1 | median of eq. 1 over eq. 2 "
        "| more crowded by equation 1 | crowding, eq. 1 | eq. 2 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {world} | {found['features']} | {found['smaller']} | {found['median_ratio']:.2f} "
        f"| {found['more_skewed']} | {found['median_over_mean_eq1']:.2f} "
        f"| {found['median_over_mean_eq2']:.2f} |"
        for world, found in numbers.items()
    ]
    figures = [
        f"![|LFI| of {found['shown']} in {world}](figures/figure-1-{world}.png)"
        for world, found in numbers.items()
    ]
    return "\n".join([*lines, "", *figures])
