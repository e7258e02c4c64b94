"""What the client asks of the aggregator."""

from datetime import datetime, timedelta

from aftershock import _aggregator_calls as calls
from aftershock._caller import Caller
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


class AggregatorClient(Caller):
    """Outcomes, windows, importances and shifts."""

    def outcomes(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        window: Interval | None = None,
        expected: float,
        observed: float,
        request_id: str | None = None,
    ) -> ReportOutcomesResponse:
        """Report how many events were expected and observed from `start` to before `end`.

        Several reports of one window add up. Equal arguments make an equal `request_id`, unless one
        is given, and a `request_id` counts once: retries are safe.

        Args:
            start: with a time zone; the stretch lies within one window.
            end: with a time zone, exclusive.
            window: both at once, as a pair or as a Window of the contract.
            expected: sum of predictions over the examples whose outcome is known.
            observed: events among the same examples.
            request_id: tells equal reports apart that are not the same.

        Raises:
            ValueError: no stretch, or one without a time zone; a fraction of an event.
        """
        if self._environment.disabled:
            return ReportOutcomesResponse()
        stretch = interval(start, end, window)
        model = self._model_name(None)
        flow = calls.report_outcomes(
            model, *stretch, expected=expected, observed=observed, request_id=request_id
        )
        return self._run(flow)

    def models(self) -> list[ModelSummary]:
        """Return what the aggregator knows of each model."""
        return self._run(calls.list_models())

    def set_model_rules(
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
        return self._run(flow)

    def windows(self, model: str | None = None, *, limit: int | None = None) -> list[Window]:
        """Return a model's windows, newest first."""
        return self._run(calls.list_windows(self._model_name(model), limit))

    def gfi(self, window: Window | str) -> list[FeatureImportance]:
        """Return a window's global feature importances, by rank."""
        return self._run(calls.get_gfi(window_name(window, self._model)))

    def profile(self, window: Window | str, feature: str) -> GetFeatureProfileResponse:
        """Return what a feature's values looked like in a window.

        Args:
            window: itself, its name, or its id where the client has a model.
            feature: its name.
        """
        return self._run(calls.get_feature_profile(window_name(window, self._model), feature))

    def compare(
        self,
        anomaly: Window | str,
        *,
        control: Window | str | None = None,
        top: int = 30,
        rank_by: str | None = None,
    ) -> Comparison:
        """Compare a window with one from before and rank what may have broken.

        Args:
            anomaly: a window, its name, or its id where the client has a model.
            control: likewise, or "same-hour-previous-day", "same-hour-previous-week" or
                "previous-hour"; the server's choice if left out.
            top: how many shifts to return.
            rank_by: "evidence", which is the server's choice if left out, "gfi-shift" as in the
                paper, "mfc-shift", "lfi-distance", "coverage-change" or "value-distance".
        """
        return self._run(calls.compare(window_name(anomaly, self._model), control, top, rank_by))

    def sample_size(self, window: Window | str, *, tolerance: float) -> ChooseSampleSizeResponse:
        """Return the fewest examples that keep every standard error under a tolerance.

        Args:
            window: whose importances are taken for typical: itself, its name, or its id where the
                client has a model.
            tolerance: largest standard error of any feature's GFI.
        """
        flow = calls.choose_sample_size(window_name(window, self._model), tolerance)
        return self._run(flow)
