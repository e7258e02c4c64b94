"""From trials to figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.diagnosis.trials import Scored, Trial

DETECTION = 0.9
"""Of corrupted features, at which the peers' false flags are counted."""
PER = 150
"""Features that flags are counted per."""


@dataclass(frozen=True)
class Figure:
    """A mean over trials, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure | None":
        """Return the figure, None of no values."""
        if not len(values):
            return None
        error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        return cls(float(np.mean(values)), error)

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.error:.3f}"


@dataclass(frozen=True)
class Score:
    """How well a method did against one control."""

    recall: Figure | None
    at_least_one: Figure | None
    at_least_one_visible: Figure | None
    false_flags: float
    detection: float

    def as_json(self) -> Mapping[str, float | None]:
        """Return the figures by the keys of the last line, standard errors beside the means."""
        means: dict[str, float | None] = {}
        for name in ("recall", "at_least_one", "at_least_one_visible"):
            figure: Figure | None = getattr(self, name)
            means[name] = round(figure.mean, 3) if figure else None
            means[f"{name}_error"] = round(figure.error, 3) if figure else None
        return means | {
            "false_flags_per_clean_window": round(self.false_flags, 2),
            "detection_at_that": round(self.detection, 3),
        }


def score(
    trials: Sequence[Trial], control: str, method: str, k: int, clean: Sequence[Scored]
) -> Score:
    """Return a method's figures over the trials against one control.

    Ours are the flags of the verdict. A peer has none: its limit is set such that it flags
    DETECTION of the corrupted features, which flatters it. False are flags in clean windows, and
    against the other controls flags of what is not corrupted, drifting features among them.
    """
    hits = [_hits(trial, control, method, k) for trial in trials]
    visible = [hit for hit, trial in zip(hits, trials, strict=True) if trial.is_visible]
    of_culprits = [_flagging(t.by_control[control], method)[list(t.culprits)] for t in trials]
    pooled = np.concatenate(of_culprits)
    limit = 0.5 if method == "ours" else float(np.quantile(pooled, 1 - DETECTION))
    return Score(
        recall=Figure.of([hit / len(t.culprits) for hit, t in zip(hits, trials, strict=True)]),
        at_least_one=Figure.of([float(hit > 0) for hit in hits]),
        at_least_one_visible=Figure.of([float(hit > 0) for hit in visible]),
        false_flags=float(np.mean(list(_false_flags(trials, control, method, clean, limit)))),
        detection=float(np.mean(pooled >= limit)),
    )


def _hits(trial: Trial, control: str, method: str, k: int) -> int:
    scores = trial.by_control[control].by(method)
    return len(set(np.argsort(-scores, kind="stable")[:k]) & set(trial.culprits))


def _false_flags(
    trials: Sequence[Trial], control: str, method: str, clean: Sequence[Scored], limit: float
) -> Iterator[float]:
    if control == "earlier_window":
        for scored in clean:
            if method == "evidently" and not scored.drifts:
                continue
            flagged = _flagging(scored, method) >= limit
            yield float(flagged.sum()) * PER / len(flagged)
        return
    for trial in trials:
        flagged = _flagging(trial.by_control[control], method) >= limit
        flagged[list(trial.culprits)] = False
        yield float(flagged.sum()) * PER / len(flagged)


def _flagging(scored: Scored, method: str) -> NDArray[np.float64]:
    return scored.flags.astype(np.float64) if method == "ours" else scored.by(method)
