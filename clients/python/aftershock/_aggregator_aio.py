"""What the client asks of the aggregator, from an event loop."""

from datetime import datetime, timedelta

from aftershock import _aggregator_calls as calls
from aftershock._aio_caller import AioCaller
from aftershock._names import Interval, interval, window_name
from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    GetFeatureProfileResponse,
    ModelRules,
    ModelSummary,
    ReportOutcomesResponse,
)
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import Window


class AioAggregatorClient(AioCaller):
    """Outcomes, windows, importances and shifts."""

    async def outcomes(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        window: Interval | None = None,
        expected: float,
        observed: float,
        request_id: str | None = None,
    ) -> ReportOutcomesResponse:
        """Report expected and observed events. See aftershock.Client.outcomes."""
        if self._environment.disabled:
            return ReportOutcomesResponse()
        stretch = interval(start, end, window)
        model = self._model_name(None)
        flow = calls.report_outcomes(
            model, *stretch, expected=expected, observed=observed, request_id=request_id
        )
        return await self._run(flow)

    async def models(self) -> list[ModelSummary]:
        """Return what the aggregator knows of each model."""
        return await self._run(calls.list_models())

    async def set_model_rules(
        self,
        model: str | None = None,
        *,
        allowed_lateness: timedelta | None = None,
        retention: timedelta | None = None,
    ) -> ModelRules:
        """Replace what a model has instead of the aggregator's settings, which None stands for.

        Args:
            allowed_lateness: how far event time passes a window's end before the window closes.
            retention: how long its windows are kept.
        """
        flow = calls.set_model_rules(self._model_name(model), allowed_lateness, retention)
        return await self._run(flow)

    async def windows(self, model: str | None = None, *, limit: int | None = None) -> list[Window]:
        """Return a model's windows, newest first."""
        return await self._run(calls.list_windows(self._model_name(model), limit))

    async def gfi(self, window: Window | str) -> list[FeatureImportance]:
        """Return a window's global feature importances, by rank."""
        return await self._run(calls.get_gfi(window_name(window, self._model)))

    async def profile(self, window: Window | str, feature: str) -> GetFeatureProfileResponse:
        """Return what a feature's values looked like in a window. See aftershock.Client.profile."""
        flow = calls.get_feature_profile(window_name(window, self._model), feature)
        return await self._run(flow)

    async def compare(
        self,
        anomaly: Window | str,
        *,
        control: Window | str | None = None,
        top: int = 30,
        rank_by: str | None = None,
    ) -> Comparison:
        """Compare two windows. See aftershock.Client.compare."""
        flow = calls.compare(window_name(anomaly, self._model), control, top, rank_by)
        return await self._run(flow)

    async def sample_size(
        self, window: Window | str, *, tolerance: float
    ) -> ChooseSampleSizeResponse:
        """Return the fewest examples that keep every standard error under a tolerance."""
        flow = calls.choose_sample_size(window_name(window, self._model), tolerance)
        return await self._run(flow)
