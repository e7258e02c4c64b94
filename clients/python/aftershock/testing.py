"""A client for users' tests: keeps what a pipeline sends.

client = RecordingClient()
run_my_pipeline(client)
assert client.sent[0].examples.column_names == ["user_age", "genres"]
assert client.outcome_reports[0].observed == 12
"""

from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aftershock._aggregator_calls import report_outcomes
from aftershock._encoding import count_examples, to_arrow
from aftershock._log import ExampleLog, Examples, LogStats, OnFull, Population
from aftershock._names import Interval, interval, model_name, timestamp
from aftershock.v1.aggregator_service_pb2 import ReportOutcomesRequest, ReportOutcomesResponse

__all__ = ["RecordingClient", "SentExamples"]


@dataclass(frozen=True)
class SentExamples:
    """One call of `send`."""

    examples: Any
    """As a pyarrow Table or RecordBatch: what would have travelled."""
    event_time: datetime
    population: Population


class RecordingClient:
    """Takes what aftershock.Client's pipeline calls take, and keeps it. Sends nothing."""

    def __init__(self, model: str = "model") -> None:
        self._model = model
        self.sent: list[SentExamples] = []
        self.outcome_reports: list[ReportOutcomesRequest] = []

    def examples(
        self,
        population: Population = "considered",
        *,
        on_full: OnFull = "drop",  # noqa: ARG002 - it never fills
        sample: float = 1.0,  # noqa: ARG002 - a test wants to see all
        seed: int = 0,  # noqa: ARG002 - likewise
        timeout: float = 0.0,  # noqa: ARG002 - it never waits
        buffer_bytes: int = 0,  # noqa: ARG002 - it never fills
    ) -> ExampleLog:
        """Return a log whose batches appear in `sent`."""
        return _RecordingLog(self.sent, population)

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
        """Keep a report in `outcome_reports`."""
        flow = report_outcomes(
            model_name(self._model),
            *interval(start, end, window),
            expected=expected,
            observed=observed,
            request_id=request_id,
        )
        self.outcome_reports.append(next(flow).request)
        return ReportOutcomesResponse()


class _RecordingLog(ExampleLog):
    def __init__(self, sent: list[SentExamples], population: Population) -> None:
        self._sent = sent
        self._population = population
        self._stats = LogStats()

    def send(
        self,
        batch: Examples,
        *,
        event_time: datetime,
        batch_id: str | None = None,  # noqa: ARG002 - nothing is sent again
    ) -> None:
        timestamp(event_time, "event_time")
        examples = to_arrow(batch)
        self._sent.append(SentExamples(examples, event_time, self._population))
        total = self._stats.sent + count_examples(examples)
        self._stats = LogStats(sent=total, accepted=total)

    @property
    def stats(self) -> LogStats:
        return self._stats

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None
