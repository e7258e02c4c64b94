"""The methods of the contract that the SDK calls."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from aftershock._environment import Service
from aftershock.v1 import aggregator_service_pb2 as aggregator
from aftershock.v1 import attribution_service_pb2 as attribution
from aftershock.v1 import audit_service_pb2 as audit
from aftershock.v1 import lineage_service_pb2 as lineage
from aftershock.v1 import runbook_service_pb2 as runbook

_LINEAGE = "Lineage"
Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Request, Answer]):
    """A method of the contract."""

    service: Service
    name: str
    request: type[Request]
    answer: type[Answer]
    least_timeout: float = 0.0
    """Seconds that it may well take, whatever the client's timeout."""
    interface: str = ""
    """Of the service's interfaces the one that has it; empty: the one of the service's name."""

    @property
    def path(self) -> str:
        """Full method name, as gRPC takes it."""
        return f"/aftershock.v1.{self.interface or self.service.title()}Service/{self.name}"

    @staticmethod
    def serialize(message: Message) -> bytes:
        """Return the message's bytes."""
        return message.SerializeToString()


COMPUTE_LFI = Method(
    Service.ATTRIBUTION, "ComputeLfi", attribution.ComputeLfiRequest, attribution.ComputeLfiResponse
)
LIST_CHECKPOINTS = Method(
    Service.ATTRIBUTION,
    "ListCheckpoints",
    attribution.ListCheckpointsRequest,
    attribution.ListCheckpointsResponse,
)
EXPLAIN_CHECKPOINT = Method(
    Service.ATTRIBUTION,
    "ExplainCheckpoint",
    attribution.ExplainCheckpointRequest,
    attribution.ExplainCheckpointResponse,
)
LOAD_CHECKPOINT = Method(
    Service.ATTRIBUTION,
    "LoadCheckpoint",
    attribution.LoadCheckpointRequest,
    attribution.LoadCheckpointResponse,
    least_timeout=300.0,
)
TEST_GROUP = Method(
    Service.ATTRIBUTION,
    "TestGroup",
    attribution.TestGroupRequest,
    attribution.TestGroupResponse,
    least_timeout=300.0,
)
REPORT_OUTCOMES = Method(
    Service.AGGREGATOR,
    "ReportOutcomes",
    aggregator.ReportOutcomesRequest,
    aggregator.ReportOutcomesResponse,
)
LIST_MODELS = Method(
    Service.AGGREGATOR, "ListModels", aggregator.ListModelsRequest, aggregator.ListModelsResponse
)
SET_MODEL_RULES = Method(
    Service.AGGREGATOR,
    "SetModelRules",
    aggregator.SetModelRulesRequest,
    aggregator.SetModelRulesResponse,
)
LIST_WINDOWS = Method(
    Service.AGGREGATOR, "ListWindows", aggregator.ListWindowsRequest, aggregator.ListWindowsResponse
)
GET_GFI = Method(Service.AGGREGATOR, "GetGfi", aggregator.GetGfiRequest, aggregator.GetGfiResponse)
GET_FEATURE_PROFILE = Method(
    Service.AGGREGATOR,
    "GetFeatureProfile",
    aggregator.GetFeatureProfileRequest,
    aggregator.GetFeatureProfileResponse,
)
COMPARE_WINDOWS = Method(
    Service.AGGREGATOR,
    "CompareWindows",
    aggregator.CompareWindowsRequest,
    aggregator.CompareWindowsResponse,
)
CHOOSE_SAMPLE_SIZE = Method(
    Service.AGGREGATOR,
    "ChooseSampleSize",
    aggregator.ChooseSampleSizeRequest,
    aggregator.ChooseSampleSizeResponse,
    least_timeout=60.0,
)
GET_WINDOW_SAMPLE = Method(
    Service.AGGREGATOR,
    "GetWindowSample",
    aggregator.GetWindowSampleRequest,
    aggregator.GetWindowSampleResponse,
    least_timeout=60.0,
)
LIST_INCIDENTS = Method(
    Service.RUNBOOK, "ListIncidents", runbook.ListIncidentsRequest, runbook.ListIncidentsResponse
)
GET_INCIDENT = Method(
    Service.RUNBOOK, "GetIncident", runbook.GetIncidentRequest, runbook.GetIncidentResponse
)
WATCH_INCIDENTS = Method(
    Service.RUNBOOK, "WatchIncidents", runbook.WatchIncidentsRequest, runbook.WatchIncidentsResponse
)
APPROVE_MITIGATION = Method(
    Service.RUNBOOK,
    "ApproveMitigation",
    runbook.ApproveMitigationRequest,
    runbook.ApproveMitigationResponse,
)
REJECT_MITIGATION = Method(
    Service.RUNBOOK,
    "RejectMitigation",
    runbook.RejectMitigationRequest,
    runbook.RejectMitigationResponse,
)
REVERT_MITIGATION = Method(
    Service.RUNBOOK,
    "RevertMitigation",
    runbook.RevertMitigationRequest,
    runbook.RevertMitigationResponse,
)
RENEW_MITIGATION = Method(
    Service.RUNBOOK,
    "RenewMitigation",
    runbook.RenewMitigationRequest,
    runbook.RenewMitigationResponse,
)
RELEASE_MITIGATION = Method(
    Service.RUNBOOK,
    "ReleaseMitigation",
    runbook.ReleaseMitigationRequest,
    runbook.ReleaseMitigationResponse,
)
PAUSE_MITIGATIONS = Method(
    Service.RUNBOOK,
    "PauseMitigations",
    runbook.PauseMitigationsRequest,
    runbook.PauseMitigationsResponse,
)
RESUME_MITIGATIONS = Method(
    Service.RUNBOOK,
    "ResumeMitigations",
    runbook.ResumeMitigationsRequest,
    runbook.ResumeMitigationsResponse,
)
GET_PAUSE = Method(Service.RUNBOOK, "GetPause", runbook.GetPauseRequest, runbook.GetPauseResponse)
SNOOZE_INCIDENT = Method(
    Service.RUNBOOK,
    "SnoozeIncident",
    runbook.SnoozeIncidentRequest,
    runbook.SnoozeIncidentResponse,
)
CLAIM_SURFACE = Method(
    Service.RUNBOOK, "ClaimSurface", runbook.ClaimSurfaceRequest, runbook.ClaimSurfaceResponse
)
RECORD_SURFACE = Method(
    Service.RUNBOOK, "RecordSurface", runbook.RecordSurfaceRequest, runbook.RecordSurfaceResponse
)
CHECK_POLICY = Method(
    Service.RUNBOOK, "CheckPolicy", runbook.CheckPolicyRequest, runbook.CheckPolicyResponse
)
REPLAY_POLICY = Method(
    Service.RUNBOOK,
    "ReplayPolicy",
    runbook.ReplayPolicyRequest,
    runbook.ReplayPolicyResponse,
    least_timeout=60.0,
)
VERIFY_AUDIT = Method(
    Service.RUNBOOK,
    "VerifyAudit",
    runbook.VerifyAuditRequest,
    runbook.VerifyAuditResponse,
    least_timeout=60.0,
)
REGISTER_LINEAGE = Method(
    Service.AGGREGATOR,
    "RegisterLineage",
    lineage.RegisterLineageRequest,
    lineage.RegisterLineageResponse,
    interface=_LINEAGE,
)
REGISTER_FEATURES = Method(
    Service.AGGREGATOR,
    "RegisterFeatures",
    lineage.RegisterFeaturesRequest,
    lineage.RegisterFeaturesResponse,
    interface=_LINEAGE,
)
REGISTER_MODEL = Method(
    Service.AGGREGATOR,
    "RegisterModel",
    lineage.RegisterModelRequest,
    lineage.RegisterModelResponse,
    interface=_LINEAGE,
)
GET_LINEAGE = Method(
    Service.AGGREGATOR,
    "GetLineage",
    lineage.GetLineageRequest,
    lineage.GetLineageResponse,
    interface=_LINEAGE,
)
TRACE_PROPAGATION = Method(
    Service.AGGREGATOR,
    "TracePropagation",
    lineage.TracePropagationRequest,
    lineage.TracePropagationResponse,
    interface=_LINEAGE,
)
FIND_COMMON_CAUSES = Method(
    Service.AGGREGATOR,
    "FindCommonCauses",
    lineage.FindCommonCausesRequest,
    lineage.FindCommonCausesResponse,
    interface=_LINEAGE,
)
GET_BLAST_RADIUS = Method(
    Service.AGGREGATOR,
    "GetBlastRadius",
    lineage.GetBlastRadiusRequest,
    lineage.GetBlastRadiusResponse,
    interface=_LINEAGE,
)
WATCH_PROPAGATION = Method(
    Service.AGGREGATOR,
    "WatchPropagation",
    lineage.WatchPropagationRequest,
    lineage.WatchPropagationResponse,
    interface=_LINEAGE,
)
RECORD_EVENT = Method(
    Service.AGGREGATOR,
    "RecordEvent",
    lineage.RecordEventRequest,
    lineage.RecordEventResponse,
    interface=_LINEAGE,
)
LIST_EVENTS = Method(
    Service.AGGREGATOR,
    "ListEvents",
    lineage.ListEventsRequest,
    lineage.ListEventsResponse,
    interface=_LINEAGE,
)
START_AUDIT = Method(Service.AUDIT, "StartAudit", audit.StartAuditRequest, audit.StartAuditResponse)
GET_AUDIT = Method(Service.AUDIT, "GetAudit", audit.GetAuditRequest, audit.GetAuditResponse)
LIST_AUDITS = Method(Service.AUDIT, "ListAudits", audit.ListAuditsRequest, audit.ListAuditsResponse)
CANCEL_AUDIT = Method(
    Service.AUDIT, "CancelAudit", audit.CancelAuditRequest, audit.CancelAuditResponse
)
DIFF_AUDITS = Method(Service.AUDIT, "DiffAudits", audit.DiffAuditsRequest, audit.DiffAuditsResponse)
