"""Servers that keep what they are sent and answer as a test tells them, over real gRPC."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from aftershock.v1 import aggregator_service_pb2 as aggregator
from aftershock.v1 import aggregator_service_pb2_grpc as aggregator_grpc
from aftershock.v1 import attribution_service_pb2 as attribution
from aftershock.v1 import attribution_service_pb2_grpc as attribution_grpc
from aftershock.v1 import lineage_service_pb2_grpc as lineage_grpc
from aftershock.v1 import runbook_service_pb2 as runbook
from aftershock.v1 import runbook_service_pb2_grpc as runbook_grpc
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.example_pb2 import ExampleBatch
from aftershock.v1.flag_sync_pb2 import FlagSyncRequest, FlagSyncResponse
from aftershock.v1.importance_pb2 import FeatureImportance
from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.shift_pb2 import Comparison
from aftershock.v1.surface_pb2 import Surface
from aftershock.v1.window_pb2 import Window
from services.chassis.errors import ErrorTable, status_of

CODES = {code.value[0]: code for code in grpc.StatusCode}


def stamp(*parts: int) -> Timestamp:
    """Return a UTC time as the contract has it."""
    result = Timestamp()
    result.FromDatetime(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]
    return result


def refuse(context: Any, status: Status) -> None:
    """Abort a call as the chassis does."""
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    context.set_trailing_metadata(details)
    context.abort(CODES[status.code], status.message)


def refusal(error: Exception, table: ErrorTable) -> Status:
    """Return the status that the chassis makes of an error."""
    return status_of(error, table)


class Recording:
    """What servicers share: metadata and deadlines seen, and errors to answer with first."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.time_left: list[float | None] = []
        self.errors: list[Status] = []
        self.is_silent = False

    def note(self, request: Any, context: Any) -> None:
        """Keep a request and how it came; fail if a test says so."""
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.time_left.append(context.time_remaining())
        while self.is_silent and context.is_active():
            time.sleep(0.01)
        if self.errors:
            refuse(context, self.errors.pop(0))


@dataclass
class Deliveries:
    """Batches that reached attribution, across its restarts, as an aggregator would count them."""

    stored: dict[str, ExampleBatch] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)

    @property
    def event_times(self) -> list[Timestamp]:
        """Event time of each stored batch, in order of arrival."""
        return [batch.event_time for batch in self.stored.values()]


class Attribution(attribution_grpc.AttributionServiceServicer, Recording):
    """Stores each batch once and answers when `answering` is set."""

    UnloadCheckpoint = GetCheckpoint = PreviewMitigation = None  # type: ignore[assignment]
    ComputeSaliency = TestInsertion = None  # type: ignore[assignment]

    def __init__(self, deliveries: Deliveries | None = None) -> None:
        Recording.__init__(self)
        self.deliveries = deliveries or Deliveries()
        self.options: list[attribution.ComputeLfiOptions] = []
        self.answering = threading.Event()
        self.answering.set()
        self.judge: Callable[[ExampleBatch], Status | None] = lambda batch: None
        self.checkpoints: list[Checkpoint] = []
        self.explanation = attribution.ExplainCheckpointResponse()
        self.group = attribution.TestGroupResponse()

    def ComputeLfi(  # noqa: N802
        self, request_iterator: Iterator[attribution.ComputeLfiRequest], context: Any
    ) -> Iterator[attribution.ComputeLfiResponse]:
        head = next(request_iterator)
        self.options.append(head.options)
        self.note(head, context)
        for request in request_iterator:
            yield self._answer(request.batch, context)

    def _answer(self, batch: ExampleBatch, context: Any) -> attribution.ComputeLfiResponse:
        known = batch.batch_id in self.deliveries.stored
        self.deliveries.received.append(batch.batch_id)
        error = self.judge(batch)
        if error is None:
            self.deliveries.stored[batch.batch_id] = batch
        while not self.answering.wait(0.05):
            if not context.is_active():
                break
        if error is not None:
            return attribution.ComputeLfiResponse(batch_id=batch.batch_id, error=error)
        receipt = attribution.BatchReceipt(example_count=1, duplicate=known)
        return attribution.ComputeLfiResponse(batch_id=batch.batch_id, receipt=receipt)

    def ListCheckpoints(  # noqa: N802
        self, request: attribution.ListCheckpointsRequest, context: Any
    ) -> attribution.ListCheckpointsResponse:
        self.note(request, context)
        return attribution.ListCheckpointsResponse(checkpoints=self.checkpoints)

    def TestGroup(  # noqa: N802
        self, request: attribution.TestGroupRequest, context: Any
    ) -> attribution.TestGroupResponse:
        self.note(request, context)
        return self.group

    def LoadCheckpoint(  # noqa: N802
        self, request: attribution.LoadCheckpointRequest, context: Any
    ) -> attribution.LoadCheckpointResponse:
        self.note(request, context)
        return attribution.LoadCheckpointResponse(checkpoint=self.checkpoints[0])

    def ExplainCheckpoint(  # noqa: N802
        self, request: attribution.ExplainCheckpointRequest, context: Any
    ) -> attribution.ExplainCheckpointResponse:
        self.note(request, context)
        return self.explanation


class Aggregator(aggregator_grpc.AggregatorServiceServicer, Recording):
    """Answers with what a test puts in."""

    IngestLfi = WatchShifts = None  # type: ignore[assignment]

    def __init__(self) -> None:
        Recording.__init__(self)
        self.models: list[aggregator.ModelSummary] = []
        self.windows: list[Window] = []
        self.importances: list[FeatureImportance] = []
        self.comparison = Comparison()
        self.sample_size = aggregator.ChooseSampleSizeResponse()
        self.profile = aggregator.GetFeatureProfileResponse()
        self.samples: dict[tuple[str, int], list[bytes]] = {}
        """Arrow streams by window and population."""

    def ReportOutcomes(  # noqa: N802
        self, request: aggregator.ReportOutcomesRequest, context: Any
    ) -> aggregator.ReportOutcomesResponse:
        self.note(request, context)
        ids = [r.request_id for r in self.requests[:-1]]
        return aggregator.ReportOutcomesResponse(duplicate=request.request_id in ids)

    def ListModels(  # noqa: N802
        self, request: aggregator.ListModelsRequest, context: Any
    ) -> aggregator.ListModelsResponse:
        self.note(request, context)
        return aggregator.ListModelsResponse(models=self.models)

    def SetModelRules(  # noqa: N802
        self, request: aggregator.SetModelRulesRequest, context: Any
    ) -> aggregator.SetModelRulesResponse:
        self.note(request, context)
        return aggregator.SetModelRulesResponse(rules=request.rules)

    def ListWindows(  # noqa: N802
        self, request: aggregator.ListWindowsRequest, context: Any
    ) -> aggregator.ListWindowsResponse:
        """Pages of two."""
        self.note(request, context)
        start = int(request.page_token or 0)
        token = str(start + 2) if start + 2 < len(self.windows) else ""
        return aggregator.ListWindowsResponse(
            windows=self.windows[start : start + 2], next_page_token=token
        )

    def GetGfi(  # noqa: N802
        self, request: aggregator.GetGfiRequest, context: Any
    ) -> aggregator.GetGfiResponse:
        self.note(request, context)
        return aggregator.GetGfiResponse(importances=self.importances)

    def CompareWindows(  # noqa: N802
        self, request: aggregator.CompareWindowsRequest, context: Any
    ) -> aggregator.CompareWindowsResponse:
        self.note(request, context)
        return aggregator.CompareWindowsResponse(comparison=self.comparison)

    def GetFeatureProfile(  # noqa: N802
        self, request: aggregator.GetFeatureProfileRequest, context: Any
    ) -> aggregator.GetFeatureProfileResponse:
        self.note(request, context)
        return self.profile

    def GetWindowSample(  # noqa: N802
        self, request: aggregator.GetWindowSampleRequest, context: Any
    ) -> aggregator.GetWindowSampleResponse:
        self.note(request, context)
        streams = self.samples.get((request.window, request.population))
        if not streams:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no examples are kept of {request.window}")
        return aggregator.GetWindowSampleResponse(arrow_streams=streams)

    def ChooseSampleSize(  # noqa: N802
        self, request: aggregator.ChooseSampleSizeRequest, context: Any
    ) -> aggregator.ChooseSampleSizeResponse:
        self.note(request, context)
        return self.sample_size


class Runbook(runbook_grpc.RunbookServiceServicer, Recording):
    """Holds incidents; a watch tells them all and ends, as a server that drains does."""

    def __init__(self) -> None:
        Recording.__init__(self)
        self.incidents: list[Incident] = []
        self.pause = runbook.Pause()
        self.policies: list[str] = []
        self.check = runbook.CheckPolicyResponse()
        self.replayed: list[runbook.ReplayedIncident] = []
        self.audit = runbook.VerifyAuditResponse(intact=True, record_count=8, head="ab" * 32)

    def ListIncidents(  # noqa: N802
        self, request: runbook.ListIncidentsRequest, context: Any
    ) -> runbook.ListIncidentsResponse:
        self.note(request, context)
        return runbook.ListIncidentsResponse(incidents=self.incidents)

    def GetIncident(  # noqa: N802
        self, request: runbook.GetIncidentRequest, context: Any
    ) -> runbook.GetIncidentResponse:
        self.note(request, context)
        found = [i for i in self.incidents if i.name == request.name]
        if not found:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {request.name}: list incidents")
        return runbook.GetIncidentResponse(incident=found[0])

    def WatchIncidents(  # noqa: N802
        self, request: runbook.WatchIncidentsRequest, context: Any
    ) -> Iterator[runbook.WatchIncidentsResponse]:
        self.note(request, context)
        for incident in list(self.incidents):
            yield runbook.WatchIncidentsResponse(incident=incident)

    def ApproveMitigation(  # noqa: N802
        self, request: runbook.ApproveMitigationRequest, context: Any
    ) -> runbook.ApproveMitigationResponse:
        self.note(request, context)
        return runbook.ApproveMitigationResponse(mitigation=self._mitigation(request.name))

    def RejectMitigation(  # noqa: N802
        self, request: runbook.RejectMitigationRequest, context: Any
    ) -> runbook.RejectMitigationResponse:
        self.note(request, context)
        return runbook.RejectMitigationResponse(mitigation=self._mitigation(request.name))

    def RevertMitigation(  # noqa: N802
        self, request: runbook.RevertMitigationRequest, context: Any
    ) -> runbook.RevertMitigationResponse:
        self.note(request, context)
        return runbook.RevertMitigationResponse(mitigation=self._mitigation(request.name))

    def RenewMitigation(  # noqa: N802
        self, request: runbook.RenewMitigationRequest, context: Any
    ) -> runbook.RenewMitigationResponse:
        self.note(request, context)
        return runbook.RenewMitigationResponse(mitigation=self._mitigation(request.name))

    def ReleaseMitigation(  # noqa: N802
        self, request: runbook.ReleaseMitigationRequest, context: Any
    ) -> runbook.ReleaseMitigationResponse:
        self.note(request, context)
        return runbook.ReleaseMitigationResponse(mitigation=self._mitigation(request.name))

    def PauseMitigations(  # noqa: N802
        self, request: runbook.PauseMitigationsRequest, context: Any
    ) -> runbook.PauseMitigationsResponse:
        self.note(request, context)
        self.pause = runbook.Pause(paused=True, actor="ada", reason=request.reason)
        return runbook.PauseMitigationsResponse(pause=self.pause)

    def ResumeMitigations(  # noqa: N802
        self, request: runbook.ResumeMitigationsRequest, context: Any
    ) -> runbook.ResumeMitigationsResponse:
        self.note(request, context)
        self.pause = runbook.Pause(paused=False, actor="ada", reason=request.reason)
        return runbook.ResumeMitigationsResponse(pause=self.pause)

    def GetPause(  # noqa: N802
        self, request: runbook.GetPauseRequest, context: Any
    ) -> runbook.GetPauseResponse:
        self.note(request, context)
        return runbook.GetPauseResponse(pause=self.pause)

    def SnoozeIncident(  # noqa: N802
        self, request: runbook.SnoozeIncidentRequest, context: Any
    ) -> runbook.SnoozeIncidentResponse:
        self.note(request, context)
        until = stamp(2026, 11, 22, 3, 12)
        incident = Incident(name=request.name, snooze_expire_time=until)
        return runbook.SnoozeIncidentResponse(incident=incident)

    def ClaimSurface(  # noqa: N802
        self, request: runbook.ClaimSurfaceRequest, context: Any
    ) -> runbook.ClaimSurfaceResponse:
        self.note(request, context)
        surface = Surface(name=request.name, holder=request.holder, etag="1")
        return runbook.ClaimSurfaceResponse(surface=surface)

    def RecordSurface(  # noqa: N802
        self, request: runbook.RecordSurfaceRequest, context: Any
    ) -> runbook.RecordSurfaceResponse:
        self.note(request, context)
        return runbook.RecordSurfaceResponse(surface=request.surface)

    def VerifyAudit(  # noqa: N802
        self, request: runbook.VerifyAuditRequest, context: Any
    ) -> runbook.VerifyAuditResponse:
        self.note(request, context)
        return self.audit

    def CheckPolicy(  # noqa: N802
        self, request: runbook.CheckPolicyRequest, context: Any
    ) -> runbook.CheckPolicyResponse:
        self.note(request, context)
        self.policies.append(request.content)
        return self.check

    def ReplayPolicy(  # noqa: N802
        self, request: runbook.ReplayPolicyRequest, context: Any
    ) -> runbook.ReplayPolicyResponse:
        self.note(request, context)
        self.policies.append(request.content)
        return runbook.ReplayPolicyResponse(incidents=self.replayed[: request.limit])

    def _mitigation(self, name: str) -> Any:
        return next(m for i in self.incidents for m in i.mitigations if m.name == name)


class FlagSync(Recording):
    """Serves a flagd configuration under flagd's names, and again when `publish` changes it."""

    def __init__(self, configuration: str) -> None:
        super().__init__()
        self._configuration = configuration
        self._version = 0
        self._changed = threading.Condition()

    def publish(self, configuration: str) -> None:
        """Send another configuration to all who follow."""
        with self._changed:
            self._configuration = configuration
            self._version += 1
            self._changed.notify_all()

    def handler(self) -> Any:
        """Return the handler to add to a server."""
        sync = grpc.unary_stream_rpc_method_handler(
            self._follow, FlagSyncRequest.FromString, FlagSyncResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(
            "flagd.sync.v1.FlagSyncService", {"SyncFlags": sync}
        )

    def _follow(self, request: FlagSyncRequest, context: Any) -> Iterator[FlagSyncResponse]:
        self.note(request, context)
        sent = -1
        while context.is_active():
            with self._changed:
                if sent == self._version:
                    self._changed.wait(0.05)
                    continue
                sent, configuration = self._version, self._configuration
            yield FlagSyncResponse(flag_configuration=configuration)


class Served:
    """A real gRPC server on loopback. Killing it and serving again keeps the port."""

    def __init__(self, *servicers: Any) -> None:
        self.servicers = servicers
        self._port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self, *servicers: Any) -> None:
        """Serve, with other servicers if given."""
        self.servicers = servicers or self.servicers
        # Each watcher and log holds a thread while it lasts.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        self._server = grpc.server(ThreadPoolExecutor(16), options=options)
        for servicer in self.servicers:
            _register(servicer, self._server)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self._server.start()

    def kill(self) -> None:
        """Break all calls at once."""
        self._server.stop(0).wait()


def _register(servicer: Any, server: grpc.Server) -> None:
    match servicer:
        case Attribution():
            attribution_grpc.add_AttributionServiceServicer_to_server(servicer, server)
        case Aggregator():
            aggregator_grpc.add_AggregatorServiceServicer_to_server(servicer, server)
        case Runbook():
            runbook_grpc.add_RunbookServiceServicer_to_server(servicer, server)
        case FlagSync():
            server.add_generic_rpc_handlers((servicer.handler(),))
        case lineage_grpc.LineageServiceServicer():
            lineage_grpc.add_LineageServiceServicer_to_server(servicer, server)
