"""Did it help? Only later windows can say so, and silence is no yes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.runbook.domain.evidence import Calibration, Window
from services.runbook.domain.preview import MissingPreview, Preview


class Judgement(StrEnum):
    """What one window, or all of them together, says."""

    EFFECTIVE = "EFFECTIVE"
    NOT_EFFECTIVE = "NOT_EFFECTIVE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Verification:
    """The judgement, and the windows that it rests on."""

    judgement: Judgement
    windows: tuple[Window, ...]
    """Those that started after the mitigation was in force, by start; the last one decided."""


def judge(realised: Calibration, broken: Calibration | None) -> Judgement:
    """Compare one window's calibration with the healthy band and with what it was when broken.

    NOT_EFFECTIVE: the whole interval lies outside the healthy band. EFFECTIVE: it reaches into the
    band, leaves out the broken ratio, and the realised ratio is nearer to 1 than to the broken one
    (on a logarithmic scale). Anything else, a window with too few events above all, is
    INCONCLUSIVE.

    Args:
        broken: None: calibration was healthy before, so that nothing can be mended that it shows;
            what is not anomalous then says that nothing worsened, which is all it can say.
    """
    if realised.anomalous:
        return Judgement.NOT_EFFECTIVE
    known = math.isfinite(realised.distance) and realised.observed > 0
    if broken is None:
        return Judgement.EFFECTIVE if known else Judgement.INCONCLUSIVE
    tells_apart = not realised.lower <= broken.ratio <= realised.upper
    if known and tells_apart and realised.distance < broken.distance / 2:
        return Judgement.EFFECTIVE
    return Judgement.INCONCLUSIVE


def broken_calibration(windows: Sequence[Window], until: datetime | None) -> Calibration | None:
    """Return the calibration of the newest anomalous window that started before `until`."""
    anomalous = [
        window
        for window in windows
        if window.calibration.anomalous and (until is None or window.start_time < until)
    ]
    newest = max(anomalous, key=lambda window: window.start_time, default=None)
    return newest.calibration if newest else None


def verify(
    windows: Sequence[Window], *, applied_after: datetime, broken: Calibration | None, needed: int
) -> Verification:
    """Judge by `needed` consecutive windows that agree.

    A window that starts before `applied_after`, in event time, may hold examples that were scored
    without the mitigation: it says nothing either way.
    """
    later = sorted(
        (window for window in windows if window.start_time >= applied_after),
        key=lambda window: window.start_time,
    )
    judgements = [judge(window.calibration, broken) for window in later]
    for end in range(needed, len(later) + 1):
        agreed = set(judgements[end - needed : end])
        if len(agreed) == 1 and agreed != {Judgement.INCONCLUSIVE}:
            return Verification(agreed.pop(), tuple(later[:end]))
    return Verification(Judgement.INCONCLUSIVE, tuple(later))


def as_previewed(realised: Calibration, preview: Preview | MissingPreview) -> str:
    """Say in words how the realised calibration compares with the preview."""
    if isinstance(preview, MissingPreview):
        return "there was no preview"
    if realised.lower <= preview.upper and preview.lower <= realised.upper:
        return f"as previewed, {preview}"
    return f"not as previewed, {preview}"
