"""The client: where the services are, who is calling, and every operation on them."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from aftershock import _calls as calls
from aftershock import _methods as methods
from aftershock._backoff import Backoff
from aftershock._base import DEFAULT_BUFFER_BYTES, DEFAULT_TIMEOUT, RACE_TIMEOUT, BaseClient
from aftershock._calls import Call, Flow, Result
from aftershock._channel import Channels, open_channel
from aftershock._errors import Unavailable, error_of_call, pause_before_retry
from aftershock._log import ExampleLog, Examples, OnFull, Population, logger
from aftershock._methods import Answer
from aftershock._names import Interval, interval, window_name
from aftershock._news import IncidentNews
from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    GetFeatureProfileResponse,
    ModelRules,
    ModelSummary,
    ReportOutcomesResponse,
)
from aftershock.v1.attribution_service_pb2 import (
    ExplainCheckpointResponse,
    RaceStanding,
    Racing,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.incident_pb2 import Incident, Mitigation
from aftershock.v1.runbook_service_pb2 import (
    CheckPolicyResponse,
    Pause,
    ReplayedIncident,
    VerifyAuditResponse,
    WatchIncidentsRequest,
)
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.window_pb2 import Window


class Client(BaseClient):
    """Talks to Aftershock and waits for its answers. Threads may share it.

    Every operation may raise ConfigurationError or ServiceError. Answers are the contract's own
    messages, `aftershock.v1`. A model is named by its id, `ads_ctr`.
    """

    @cached_property
    def _channels(self) -> Channels[grpc.Channel]:
        return Channels(self._endpoints, open_channel)

    def examples(
        self,
        population: Population = "considered",
        *,
        on_full: OnFull = "drop",
        sample: float = 1.0,
        seed: int = 0,
        timeout: float = DEFAULT_TIMEOUT,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> ExampleLog:
        """Return a log to send the model's examples to, for use as a context manager.

        It sends in the background and never slows the pipeline down, but for the first batch, whose
        answer it waits for, so that a wrong schema shows at once.

        Args:
            population: which examples these are: "considered" for ranking, or "displayed".
            on_full: what `send` does with no room left: "drop" and count, or "wait", for replays
                and backfills, which lose nothing or raise.
            sample: share of the examples to send, drawn one by one. Considered and displayed ones
                weigh the same in a window whatever the share of each.
            seed: of the draw: the same examples in the same order give the same sample.
            timeout: seconds to wait for the first answer, and at the end for the last; with
                on_full="wait", seconds without any answer that it takes to give up.
            buffer_bytes: Arrow bytes that may await their answer.

        Raises:
            ConfigurationError: an address, the model or the extra `arrow` is missing.
            ValueError: an unknown population or way to meet a full buffer, or no share.
        """
        return self._open_log(
            self._channels,
            population,
            on_full=on_full,
            sample=sample,
            seed=seed,
            timeout=timeout,
            buffer_bytes=buffer_bytes,
        )

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

    def race(
        self,
        examples: Examples,
        *,
        racing: Racing,
        event_time: datetime,
        population: Population = "considered",
        seed: int = 0,
        timeout: float = RACE_TIMEOUT,
    ) -> RaceStanding:
        """Find the features that matter most to examples, without ablating every one in each.

        STATISTICAL: with the probability `racing.confidence`, no feature that is OUT or TOO_RARE is
        among the `racing.top_k` that ablating everything finds; if `settled`, those TOP are they.
        Nothing goes into windows.

        Args:
            examples: a batch as `ExampleLog.send` takes it.
            racing: how many are sought, at what confidence.
            event_time: about when they were scored, with a time zone.
            population: which examples these are.
            seed: of the random order in which they are sent.
            timeout: seconds that all of it may take.

        Raises:
            InvalidExamples: the examples cannot be encoded.
            InvalidRequest: they do not fit the checkpoint, or it has no more features than sought.
        """
        return self._race(
            self._channels,
            examples,
            racing=racing,
            event_time=event_time,
            population=population,
            seed=seed,
            timeout=timeout,
        )

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

    def incidents(self, model: str | None = None, *, limit: int | None = None) -> list[Incident]:
        """Return incidents of a model, or of all where neither call nor client names one."""
        return self._run(calls.list_incidents(self._filter(model), limit))

    def incident(self, name: str) -> Incident:
        """Return an incident by its id or name."""
        return self._run(calls.get_incident(name))

    def watch_incidents(self, model: str | None = None) -> Iterator[Incident]:
        """Yield each incident as it is now, then whenever it changes, without end.

        A broken stream is opened again, and what was yielded before is not repeated.
        """
        call = Call(methods.WATCH_INCIDENTS, WatchIncidentsRequest(model=self._filter(model)))
        news, backoff = IncidentNews(), Backoff()
        while True:
            try:
                for answer in self._stream(call):
                    backoff.reset()
                    if news.is_news(answer.incident):
                        yield answer.incident
            except Unavailable as error:
                logger.warning("%s; trying again", error)
            time.sleep(backoff.pause())

    def approve(self, mitigation: Mitigation | str, reason: str = "") -> Mitigation:
        """Approve a proposed mitigation.

        Args:
            mitigation: as it was seen: the approval holds for that plan and no other. Or the name
                of a mitigation, or of an incident that has one proposal: whatever it proposes now.
            reason: kept in the incident's timeline.

        Raises:
            Conflict: the plan changed since, or the mitigation is not proposed any more.
            NotAllowed: the caller is no approver.
        """
        return self._run(calls.approve(mitigation, reason))

    def reject(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Reject a proposed mitigation, named as in `approve`."""
        return self._run(calls.reject(mitigation, reason))

    def revert(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Undo a mitigation in force: itself, its name, or an incident that has one."""
        return self._run(calls.revert(mitigation, reason))

    def renew(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Extend the lease of a kill: itself, its name, or an incident that has one in force.

        One that is being released is put in force again.
        """
        return self._run(calls.renew(mitigation, reason))

    def release(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Serve an effective kill's features again by stages, named as in `renew`."""
        return self._run(calls.release(mitigation, reason))

    def pause(self, reason: str) -> Pause:
        """Stop all mitigations, of all models. Undoing stays possible."""
        return self._run(calls.pause(reason))

    def resume(self, reason: str) -> Pause:
        """Let mitigations go on."""
        return self._run(calls.resume(reason))

    def pause_state(self) -> Pause:
        """Return whether mitigations are stopped, by whom and why."""
        return self._run(calls.get_pause())

    def check_policy(self, file: str | Path) -> CheckPolicyResponse:
        """Return what is wrong with a policy file of this machine, or what is in it."""
        return self._run(calls.check_policy(file))

    def replay_policy(
        self, file: str | Path, model: str | None = None, *, limit: int = 100
    ) -> list[ReplayedIncident]:
        """Return the newest incidents with what a policy file would have done, and what was done.

        Raises:
            InvalidRequest: the runbook cannot follow the file.
        """
        return self._run(calls.replay_policy(file, self._filter(model), limit))

    def verify_audit(self) -> VerifyAuditResponse:
        """Have the runbook read its whole audit and say whether it is what was written."""
        return self._run(calls.verify_audit())

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that attribution holds."""
        return self._run(calls.list_checkpoints())

    def explain_checkpoint(self, name: str | None = None) -> ExplainCheckpointResponse:
        """Return how a checkpoint is ablated, what falls back and why, and what it costs.

        Args:
            name: of a checkpoint, or of a model for its newest; the client's model if left out.
        """
        return self._run(calls.explain_checkpoint(self._model_name(name)))

    def load_checkpoint(self, folder: str | Path) -> Checkpoint:
        """Load a checkpoint folder, which lies on attribution's disk under an allowed root."""
        return self._run(calls.load_checkpoint(str(folder)))

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.drain():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            while True:
                call = flow.send(self._answer(call))
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _answer(self, call: Call[Any, Answer]) -> Answer:
        method = call.method
        deadline = time.monotonic() + max(self._timeout, method.least_timeout)
        channel = self._channels.to(method.service)
        stub = channel.unary_unary(method.path, method.serialize, method.answer.FromString)
        while True:
            left = deadline - time.monotonic()
            try:
                return stub(call.request, timeout=left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = error_of_call(error, self._channels.describe(method.service))
            pause = pause_before_retry(failure, deadline - time.monotonic())
            if pause is None:
                raise failure
            time.sleep(pause)

    def _stream(self, call: Call[Any, Answer]) -> Iterator[Answer]:
        method = call.method
        channel = self._channels.to(method.service)
        stub = channel.unary_stream(method.path, method.serialize, method.answer.FromString)
        stream = stub(call.request, metadata=self._metadata)
        try:
            yield from stream
        except grpc.RpcError as error:
            raise error_of_call(error, self._channels.describe(method.service)) from None
        finally:
            stream.cancel()
