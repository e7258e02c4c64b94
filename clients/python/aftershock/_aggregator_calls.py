"""The aggregator's operations, without a channel."""

import hashlib
from datetime import timedelta
from operator import attrgetter

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock import _methods as methods
from aftershock._calls import PAGE_SIZE, Flow, ask, pages
from aftershock._names import CONTROLS, rank_by_of, window_name
from aftershock.v1 import aggregator_service_pb2 as aggregator
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import Window


def report_outcomes(
    model: str,
    start: Timestamp,
    end: Timestamp,
    *,
    expected: float,
    observed: float,
    request_id: str | None,
) -> Flow[aggregator.ReportOutcomesResponse]:
    """Report counts. Without a request id, equal arguments make an equal one: it counts once."""
    if observed != int(observed):
        raise ValueError(f"observed={observed!r} is a count of events: pass a whole number")
    request = aggregator.ReportOutcomesRequest(
        model=model,
        start_time=start,
        end_time=end,
        expected=expected,
        observed=int(observed),
    )
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    request.request_id = request_id or digest
    return (yield from ask(methods.REPORT_OUTCOMES, request))


def list_models() -> Flow[list[aggregator.ModelSummary]]:
    """List what the aggregator knows of each model."""
    request = aggregator.ListModelsRequest(page_size=PAGE_SIZE)
    return (yield from pages(methods.LIST_MODELS, request, attrgetter("models"), None))


def set_model_rules(
    model: str, allowed_lateness: timedelta | None, retention: timedelta | None
) -> Flow[aggregator.ModelRules]:
    """Replace a model's own rules."""
    request = aggregator.SetModelRulesRequest(model=model)
    if allowed_lateness is not None:
        request.rules.allowed_lateness.FromTimedelta(allowed_lateness)
    if retention is not None:
        request.rules.retention.FromTimedelta(retention)
    answer = yield from ask(methods.SET_MODEL_RULES, request)
    return answer.rules


def list_windows(model: str, limit: int | None) -> Flow[list[Window]]:
    """List a model's windows, newest first."""
    request = aggregator.ListWindowsRequest(parent=model, page_size=PAGE_SIZE)
    return (yield from pages(methods.LIST_WINDOWS, request, attrgetter("windows"), limit))


def get_gfi(window: str) -> Flow[list[FeatureImportance]]:
    """Return a window's importances by rank."""
    answer = yield from ask(methods.GET_GFI, aggregator.GetGfiRequest(window=window))
    return list(answer.importances)


def get_feature_profile(window: str, feature: str) -> Flow[aggregator.GetFeatureProfileResponse]:
    """Return what a feature's values looked like in a window."""
    request = aggregator.GetFeatureProfileRequest(window=window, feature=feature)
    return (yield from ask(methods.GET_FEATURE_PROFILE, request))


def compare(
    anomaly: str, control: Window | str | None, top: int, rank_by: str | None
) -> Flow[Comparison]:
    """Compare a window with a control: a window, a way to choose one, or the server's choice."""
    order = rank_by_of(rank_by)
    request = aggregator.CompareWindowsRequest(anomaly=anomaly, top_k=top, rank_by=order)
    if isinstance(control, str) and control in CONTROLS:
        request.control_selection = CONTROLS[control]
    elif control is not None:
        request.control_window = window_name(control, anomaly.partition("/windows/")[0])
    answer = yield from ask(methods.COMPARE_WINDOWS, request)
    return answer.comparison


def choose_sample_size(window: str, tolerance: float) -> Flow[aggregator.ChooseSampleSizeResponse]:
    """Return how many examples a window like this one needs."""
    request = aggregator.ChooseSampleSizeRequest(window=window, tolerance=tolerance)
    return (yield from ask(methods.CHOOSE_SAMPLE_SIZE, request))
