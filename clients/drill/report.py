"""What a drill found, as the paper's Table 1 and as plain numbers.

Recall is the share of broken features among a run's first K suspects, over all runs;
at-least-one recall is the share of runs with any of them there. Runs are counted as visible where
the mean prediction moved by at least one in a hundred.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clients.drill.drill import Findings, Run
from clients.drill.scores import ranked

VISIBLE = 0.01
ROC_POINTS = 50


@dataclass(frozen=True)
class CaseRow:
    """One row of the table: a case over all its runs."""

    case: str
    title: str
    runs: int
    culprits: float
    """Broken features, on average over the runs."""
    prediction_change: float
    """Relative change of the mean prediction, the mean of its absolute value over the runs."""
    found: Mapping[str, float]
    """Broken features among the first K by method, on average over the runs."""


@dataclass(frozen=True)
class Recall:
    """How well one method does."""

    recall: float
    at_least_one: float
    at_least_one_visible: float
    """Among the runs in which predictions moved visibly; NaN if there are none."""
    above_median: float
    """Recall of broken features whose GFI is above the median; NaN if there are none."""
    below_median: float


@dataclass(frozen=True)
class Report:
    """A drill's findings, counted."""

    findings: Findings
    top: int

    @cached_property
    def cases(self) -> list[CaseRow]:
        """One row a case, in the order in which they ran."""
        by_case: dict[str, list[Run]] = {}
        for run in self.findings.runs:
            by_case.setdefault(run.case, []).append(run)
        return [self._row(runs) for runs in by_case.values()]

    @cached_property
    def recalls(self) -> dict[str, Recall]:
        """How well each method does."""
        return {method: self._recall(method) for method in self.findings.methods}

    @cached_property
    def flags_per_clean_window(self) -> float:
        """Features said to have shifted significantly where nothing broke, on average."""
        return _mean(len(pair.significant) for pair in self.findings.clean)

    @cached_property
    def detection(self) -> float:
        """Share of runs in which a broken feature is said to have shifted significantly."""
        return _mean(bool(run.significant.intersection(run.culprits)) for run in self.findings.runs)

    def trade_off(self, method: str) -> list[tuple[float, float]]:
        """False alarms against detection, as the level falls at which a score raises an alarm.

        Each point is how many features a clean window flags on average, and the share of runs in
        which a broken one is flagged.
        """
        clean = [_values(pair.scores[method]) for pair in self.findings.clean]
        best = np.array([_best(run, method) for run in self.findings.runs])
        levels = np.quantile(np.concatenate([*clean, best]), np.linspace(1, 0, ROC_POINTS))
        return [
            (_mean(float((one >= level).sum()) for one in clean), float((best >= level).mean()))
            for level in np.unique(levels[levels > 0])[::-1]
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything that the tables and figures tell, in plain numbers."""
        findings = self.findings
        return {
            "world": findings.subject,
            "features": findings.features,
            "rows": findings.rows,
            "control": findings.control,
            "runs": len(findings.runs),
            "k": self.top,
            "cases": [
                {
                    "case": row.case,
                    "title": row.title,
                    "runs": row.runs,
                    "corrupted_features": row.culprits,
                    "mean_prediction_change": row.prediction_change,
                    "found_in_top_k": dict(row.found),
                }
                for row in self.cases
            ],
            "methods": {m: _plain(vars(r)) for m, r in self.recalls.items()},
            "false_flags_per_clean_window": self.flags_per_clean_window,
            "detection": self.detection,
            "left_out": list(findings.left_out),
        }

    def _row(self, runs: Sequence[Run]) -> CaseRow:
        return CaseRow(
            case=runs[0].case,
            title=runs[0].title,
            runs=len(runs),
            culprits=_mean(len(run.culprits) for run in runs),
            prediction_change=_mean(abs(run.prediction_change) for run in runs),
            found={
                method: _mean(len(run.found(method, self.top)) for run in runs)
                for method in self.findings.methods
            },
        )

    def _recall(self, method: str) -> Recall:
        runs = self.findings.runs
        visible = [run for run in runs if abs(run.prediction_change) >= VISIBLE]
        median = float(np.median(list(self.findings.importances.values())))

        def important(feature: str) -> bool:
            return self.findings.importances[feature] >= median

        return Recall(
            recall=self._share_found(method, lambda _: True),
            at_least_one=_mean(bool(run.found(method, self.top)) for run in runs),
            at_least_one_visible=_mean(bool(run.found(method, self.top)) for run in visible),
            above_median=self._share_found(method, important),
            below_median=self._share_found(method, lambda feature: not important(feature)),
        )

    def _share_found(self, method: str, counts: Callable[[str], bool]) -> float:
        return _mean(
            culprit in run.found(method, self.top)
            for run in self.findings.runs
            for culprit in run.culprits
            if counts(culprit)
        )


def _best(run: Run, method: str) -> float:
    """The score of the most suspected feature among the broken ones."""
    return max(run.scores[method].get(culprit, 0.0) for culprit in run.culprits)


def _values(scores: Mapping[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([scores[feature] for feature in ranked(scores)], np.float64)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if np.isnan(value) else float(value) for name, value in numbers.items()}
