"""The plots of an incident, from what the aggregator knows of its windows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC

import aftershock
from aftershock import aio
from aftershock.v1.incident_pb2 import Incident, IncidentState
from aftershock.v1.window_pb2 import Window
from clients.chatbot.adapters import figures
from clients.chatbot.adapters.figures import (
    CalibrationPoint,
    ImportancePoint,
    LfiDistribution,
    Theme,
)
from clients.chatbot.core import words
from clients.chatbot.core.card import Picture
from clients.chatbot.core.evidence import culprits
from clients.chatbot.core.text import clean

_WINDOWS = 48
_NAME = 40
_log = logging.getLogger(__name__)


class SdkPictures:
    """Asks with the bot's own token (role `reader`), and draws on a thread."""

    def __init__(self, client: aio.Client, theme: Theme) -> None:
        self._client = client
        self._theme = theme
        self._ways: Mapping[str, Callable[[Incident], Awaitable[Picture | None]]] = {
            "gfi": self._importances,
            "calibration": self._calibrations,
            "lfi": self._lfis,
            "calibration-after": self._calibrations_after,
        }

    def names(self, incident: Incident) -> Sequence[str]:
        """Return the plots that there is something to draw for."""
        if not incident.windows:
            return ()
        compared = incident.comparison.control.name and incident.comparison.shifts
        before = ("gfi", "calibration", "lfi") if compared else ("calibration",)
        is_over = incident.state == IncidentState.INCIDENT_STATE_CLOSED
        return (*before, "calibration-after") if is_over else before

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        """Return a plot; None where the aggregator does not answer or has let the data go."""
        try:
            return await self._ways[name](incident)
        except aftershock.ServiceError as error:
            _log.warning("no plot %s of %s: %s", name, incident.name, error)
            return None

    async def _importances(self, incident: Incident) -> Picture | None:
        compared = incident.comparison
        before, after = await asyncio.gather(
            self._client.gfi(compared.control), self._client.gfi(compared.anomaly)
        )
        loud = {shift.feature for shift in culprits(incident)}
        control = {importance.feature: importance.gfi for importance in before}
        points = [
            ImportancePoint(
                each.feature, control.get(each.feature, 0.0), each.gfi, each.feature in loud
            )
            for each in after
        ]
        told = "; ".join(
            f"{clean(p.feature, _NAME)} {words.number(p.control)} → {words.number(p.anomaly)}"
            for p in points
            if p.is_culprit
        )
        png = await asyncio.to_thread(figures.importances, points, self._theme)
        alt_text = f"GFI of {len(points)} features before and now. Shifted: {told or 'none'}."
        return Picture("gfi", "Importance before and now", alt_text, png)

    async def _calibrations(self, incident: Incident) -> Picture | None:
        return await self._calibration(incident, "calibration", "Calibration over time")

    async def _calibrations_after(self, incident: Incident) -> Picture | None:
        return await self._calibration(incident, "calibration-after", "Calibration to the end")

    async def _calibration(self, incident: Incident, name: str, title: str) -> Picture | None:
        recent = await self._client.windows(incident.model, limit=_WINDOWS)
        known = {w.name: w for w in (*recent, *incident.windows) if w.HasField("calibration")}
        points = sorted(map(_point, known.values()), key=lambda point: point.start)
        if not points:
            return None
        out = [window for window in incident.windows if window.calibration.anomalous]
        broke = out[0].start_time.ToDatetime(UTC) if out else None
        png = await asyncio.to_thread(figures.calibrations, points, broke, self._theme)
        since = f" The break is at {broke:%d %b %H:%M} UTC." if broke else ""
        last = points[-1]
        count, out_count = len(points), sum(point.is_anomalous for point in points)
        alt_text = (
            f"Calibration of {count} windows, from {points[0].ratio:.2f} to {last.ratio:.2f}, "
            f"{out_count} of them anomalous.{since}"
        )
        return Picture(name, title, alt_text, png)

    async def _lfis(self, incident: Incident) -> Picture | None:
        suspects = culprits(incident) or list(incident.comparison.shifts)
        feature, compared = suspects[0].feature, incident.comparison
        control, anomaly = await asyncio.gather(
            self._client.profile(compared.control, feature),
            self._client.profile(compared.anomaly, feature),
        )
        windows = [
            LfiDistribution(name, answer.profile.coverage, tuple(answer.profile.lfi_quantiles))
            for name, answer in (("before", control), ("now", anomaly))
        ]
        if not any(window.quantiles for window in windows):
            return None
        png = await asyncio.to_thread(figures.lfis, feature, windows, self._theme)
        told = "; ".join(
            f"{window.name} {window.coverage:.0%} not zero, median {_median(window)}"
            for window in windows
        )
        name = clean(feature, _NAME)
        return Picture("lfi", "LFIs of the first suspect", f"LFIs of {name}: {told}.", png)


def _point(window: Window) -> CalibrationPoint:
    known = window.calibration
    start = window.start_time.ToDatetime(UTC)
    return CalibrationPoint(start, known.ratio, known.lower, known.upper, known.anomalous)


def _median(window: LfiDistribution) -> str:
    if not window.quantiles:
        return "none"
    return words.number(window.quantiles[len(window.quantiles) // 2])
