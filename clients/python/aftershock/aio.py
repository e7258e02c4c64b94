"""The client for programs that run on an event loop.

client = aftershock.aio.Client("aftershock.internal:8443", model="ads_ctr")

async with client.examples() as log:
    await log.send(batch, event_time=batch_time)
await client.outcomes(window=hour, expected=sum_of_predictions, observed=clicks)
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from aftershock import _calls as calls
from aftershock import _methods as methods
from aftershock._backoff import Backoff
from aftershock._base import DEFAULT_BUFFER_BYTES, DEFAULT_TIMEOUT, RACE_TIMEOUT, BaseClient
from aftershock._calls import Call, Flow, Result
from aftershock._channel import Channels, open_aio_channel, open_channel
from aftershock._errors import Unavailable, error_of_call, pause_before_retry
from aftershock._log import ExampleLog as BlockingLog
from aftershock._log import Examples, LogStats, OnFull, Population, logger
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

__all__ = ["Client", "ExampleLog"]


class ExampleLog:
    """Where a pipeline on an event loop sends its examples: an async context manager.

    Encoding and waiting happen on threads; the loop is never held up.
    """

    def __init__(self, log: BlockingLog) -> None:
        self._log = log

    async def send(
        self, batch: Examples, *, event_time: datetime, batch_id: str | None = None
    ) -> None:
        """Send examples. See aftershock.ExampleLog.send."""
        await asyncio.to_thread(self._log.send, batch, event_time=event_time, batch_id=batch_id)

    @property
    def stats(self) -> LogStats:
        """What became of the examples so far."""
        return self._log.stats

    async def __aenter__(self) -> Self:
        self._log.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._log.__exit__, kind, error, traceback)


class Client(BaseClient):
    """Talks to Aftershock from an event loop. Its operations are those of aftershock.Client."""

    @cached_property
    def _channels(self) -> Channels[grpc.aio.Channel]:
        return Channels(self._endpoints, open_aio_channel)

    @cached_property
    def _blocking_channels(self) -> Channels[grpc.Channel]:
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
        """Return a log to send the model's examples to. See aftershock.Client.examples."""
        log = self._open_log(
            self._blocking_channels,
            population,
            on_full=on_full,
            sample=sample,
            seed=seed,
            timeout=timeout,
            buffer_bytes=buffer_bytes,
        )
        return ExampleLog(log)

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

    async def race(
        self,
        examples: Examples,
        *,
        racing: Racing,
        event_time: datetime,
        population: Population = "considered",
        seed: int = 0,
        timeout: float = RACE_TIMEOUT,  # noqa: ASYNC109 - the sync client's parameters
    ) -> RaceStanding:
        """Find the features that matter most to examples. See aftershock.Client.race."""
        # gRPC's async client loses the status of a stream that ends while it still writes.
        return await asyncio.to_thread(
            self._race,
            self._blocking_channels,
            examples,
            racing=racing,
            event_time=event_time,
            population=population,
            seed=seed,
            timeout=timeout,
        )

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

    async def incidents(
        self, model: str | None = None, *, limit: int | None = None
    ) -> list[Incident]:
        """Return incidents of a model, or of all where neither call nor client names one."""
        return await self._run(calls.list_incidents(self._filter(model), limit))

    async def incident(self, name: str) -> Incident:
        """Return an incident by its id or name."""
        return await self._run(calls.get_incident(name))

    async def watch_incidents(self, model: str | None = None) -> AsyncGenerator[Incident]:
        """Yield incidents as they change. See aftershock.Client.watch_incidents."""
        call = Call(methods.WATCH_INCIDENTS, WatchIncidentsRequest(model=self._filter(model)))
        news, backoff = IncidentNews(), Backoff()
        while True:
            try:
                async with aclosing(self._stream(call)) as answers:
                    async for answer in answers:
                        backoff.reset()
                        if news.is_news(answer.incident):
                            yield answer.incident
            except Unavailable as error:
                logger.warning("%s; trying again", error)
            await asyncio.sleep(backoff.pause())

    async def approve(self, mitigation: Mitigation | str, reason: str = "") -> Mitigation:
        """Approve a proposed mitigation. See aftershock.Client.approve."""
        return await self._run(calls.approve(mitigation, reason))

    async def reject(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Reject a proposed mitigation, named as in `approve`."""
        return await self._run(calls.reject(mitigation, reason))

    async def revert(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Undo a mitigation in force: itself, its name, or an incident that has one."""
        return await self._run(calls.revert(mitigation, reason))

    async def renew(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Extend the lease of a kill: itself, its name, or an incident that has one in force.

        One that is being released is put in force again.
        """
        return await self._run(calls.renew(mitigation, reason))

    async def release(self, mitigation: Mitigation | str, reason: str) -> Mitigation:
        """Serve an effective kill's features again by stages, named as in `renew`."""
        return await self._run(calls.release(mitigation, reason))

    async def pause(self, reason: str) -> Pause:
        """Stop all mitigations, of all models. Undoing stays possible."""
        return await self._run(calls.pause(reason))

    async def resume(self, reason: str) -> Pause:
        """Let mitigations go on."""
        return await self._run(calls.resume(reason))

    async def pause_state(self) -> Pause:
        """Return whether mitigations are stopped, by whom and why."""
        return await self._run(calls.get_pause())

    async def check_policy(self, file: str | Path) -> CheckPolicyResponse:
        """Return what is wrong with a policy file of this machine, or what is in it."""
        return await self._run(calls.check_policy(file))

    async def replay_policy(
        self, file: str | Path, model: str | None = None, *, limit: int = 100
    ) -> list[ReplayedIncident]:
        """Return the newest incidents with what a policy file would have done, and what was done.

        Raises:
            InvalidRequest: the runbook cannot follow the file.
        """
        return await self._run(calls.replay_policy(file, self._filter(model), limit))

    async def verify_audit(self) -> VerifyAuditResponse:
        """Have the runbook read its whole audit and say whether it is what was written."""
        return await self._run(calls.verify_audit())

    async def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that attribution holds."""
        return await self._run(calls.list_checkpoints())

    async def explain_checkpoint(self, name: str | None = None) -> ExplainCheckpointResponse:
        """Return how a checkpoint is ablated, what falls back and why, and what it costs."""
        return await self._run(calls.explain_checkpoint(self._model_name(name)))

    async def load_checkpoint(self, folder: str | Path) -> Checkpoint:
        """Load a checkpoint folder, which lies on attribution's disk under an allowed root."""
        return await self._run(calls.load_checkpoint(str(folder)))

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.drain():
            await channel.close()
        for blocking in self._blocking_channels.drain():
            blocking.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            while True:
                call = flow.send(await self._answer(call))
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _answer(self, call: Call[Any, Answer]) -> Answer:
        method = call.method
        deadline = time.monotonic() + max(self._timeout, method.least_timeout)
        channel = self._channels.to(method.service)
        stub = channel.unary_unary(method.path, method.serialize, method.answer.FromString)
        while True:
            left = deadline - time.monotonic()
            try:
                return await stub(call.request, timeout=left, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = error_of_call(error, self._channels.describe(method.service))
            pause = pause_before_retry(failure, deadline - time.monotonic())
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def _stream(self, call: Call[Any, Answer]) -> AsyncGenerator[Answer]:
        method = call.method
        channel = self._channels.to(method.service)
        stub = channel.unary_stream(method.path, method.serialize, method.answer.FromString)
        stream = stub(call.request, metadata=self._metadata)
        try:
            async for answer in stream:
                yield answer
        except grpc.RpcError as error:
            raise error_of_call(error, self._channels.describe(method.service)) from None
        finally:
            stream.cancel()
