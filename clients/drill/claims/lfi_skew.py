"""Figure 1: the pseudo-loss (equation 1) skews LFIs to small values, more than equation 2 does."""

import numpy as np
import numpy.typing as npt

from aftershock.v1.importance_pb2 import LfiMethod
from clients.drill.claims.worlds import Measured, Numbers, Worlds
from clients.drill.export import THRESHOLD
from clients.drill.figures import histograms
from clients.drill.laboratory import Lfis

TITLE = "Figure 1: equation 1 is more skewed to small values than equation 2"
FEWEST = 100
"""Examples with a non-zero LFI that a feature needs to be looked at."""
RARER = (0.0, -1.0, -2.0, -3.0, -4.0)
"""What is added to the log-odds of all predictions, as if events were rarer."""
_CLOSEST = 1e-12
"""To 0 or 1 that a prediction is taken to come."""
Floats = npt.NDArray[np.float64]


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
        lfis = laboratory.lfis(examples, LfiMethod.LFI_METHOD_RELATIVE)
        relative = np.abs(lfis.values)
        present = np.flatnonzero((loss > 0).sum(axis=0) >= FEWEST)
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
            "shown": name,
            **_compared(loss[:, present], relative[:, present]),
            "rarer": [_if_rarer(lfis, present, shift) for shift in RARER],
        }
    return Measured(numbers, figures)


def _compared(loss: Floats, relative: Floats) -> Numbers:
    """Compare |LFI| of equations 1 and 2, [N, M] each."""
    skew = np.array([[_skew(column) for column in lfis.T] for lfis in (loss, relative)])
    medians = np.array([[_median(column) for column in lfis.T] for lfis in (loss, relative)])
    return {
        "smaller": int((medians[0] < medians[1]).sum()),
        "median_ratio": float(np.median(medians[0] / medians[1])),
        "more_skewed": int((skew[0] < skew[1]).sum()),
        "median_over_mean_eq1": float(np.median(skew[0])),
        "median_over_mean_eq2": float(np.median(skew[1])),
    }


def _if_rarer(lfis: Lfis, present: npt.NDArray[np.intp], shift: float) -> Numbers:
    """Compare both equations with the same changes of log-odds, but all log-odds moved.

    By equation 2 the prediction without a feature is p (1 - w).
    """
    before = lfis.predictions.astype(np.float64)[:, np.newaxis]
    with_all = _log_odds(before) + shift
    changed = lfis.values[:, present] != 0
    without = np.where(changed, _log_odds(before * (1 - lfis.values[:, present])) + shift, with_all)
    is_event = _probability(with_all) >= THRESHOLD
    # log sigmoid(x) is -log(1 + exp(-x)).
    sign = np.where(is_event, 1.0, -1.0)
    loss = np.logaddexp(0, -sign * with_all) - np.logaddexp(0, -sign * without)
    relative = 1 - _probability(without) / _probability(with_all)
    found = _compared(np.abs(loss), np.abs(relative))
    return {"mean_prediction": float(_probability(with_all).mean()), **found}


def _log_odds(p: Floats) -> Floats:
    kept = np.clip(p, _CLOSEST, 1 - _CLOSEST)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _probability(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _skew(values: Floats) -> float:
    present = values[values > 0]
    return float(np.median(present) / present.mean())


def _median(values: Floats) -> float:
    return float(np.median(values[values > 0]))


def tell(numbers: Numbers) -> str:
    """What came out."""
    lines = [
        "To first order equation 2 divides the change of the prediction p by p, and equation 1 by "
        "the larger of p and 1 - p: its LFIs are the smaller ones, and most so where predictions "
        "are close to their pseudo-label 0. Crowding is the median of a feature's non-zero LFIs "
        "over their mean (0.69 for an exponential distribution), less the more they crowd at small "
        "values whatever their scale. The first holds of every feature; the second is a matter of "
        "how rare the event is, as the second table shows.",
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
    return "\n".join([*lines, "", *_rarer_rows(numbers), "", *figures])


def _rarer_rows(numbers: Numbers) -> list[str]:
    rows = [
        "The same models with a constant taken off all log-odds, as if the event were rarer; what "
        "ablation changes of the log-odds stays. Where predictions lie on both sides of the "
        "pseudo-label's threshold neither equation crowds more. Where nearly all lie below it, "
        "equation 1 is equation 2 times the odds, which themselves crowd at small values: the "
        "figure in the paper is of advertisements, which are rarely clicked.",
        "",
        "| world | mean prediction | smaller by equation 1 | more crowded by equation 1 "
        "| crowding, eq. 1 | eq. 2 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return rows + [
        f"| {world} | {one['mean_prediction']:.3f} | {one['smaller']} of {found['features']} "
        f"| {one['more_skewed']} of {found['features']} | {one['median_over_mean_eq1']:.2f} "
        f"| {one['median_over_mean_eq2']:.2f} |"
        for world, found in numbers.items()
        for one in found["rarer"]
    ]
