"""Every method has a role, and every error a status."""

from aftershock.v1 import runbook_service_pb2 as pb
from services.chassis.tokens import Role
from services.runbook.adapters.grpc_access import ACCESS
from services.runbook.adapters.grpc_errors import ERRORS
from services.runbook.domain import errors


def test_the_access_table_covers_the_service() -> None:
    service = pb.DESCRIPTOR.services_by_name["RunbookService"]
    assert ACCESS.keys() == {f"/{service.full_name}/{m.name}" for m in service.methods}


def test_only_approvers_decide() -> None:
    deciding = {name.rpartition("/")[2] for name, role in ACCESS.items() if role is Role.APPROVER}
    assert deciding == {
        "ApproveMitigation",
        "RejectMitigation",
        "RevertMitigation",
        "RenewMitigation",
        "ReleaseMitigation",
        "PauseMitigations",
        "ResumeMitigations",
        "SnoozeIncident",
    }


def test_only_delegates_say_where_messages_are() -> None:
    bots = {name.rpartition("/")[2] for name, role in ACCESS.items() if role is Role.DELEGATE}
    assert bots == {"ClaimSurface", "RecordSurface"}


def test_what_callers_can_cause_has_a_status() -> None:
    internal = {
        errors.RunbookError,
        errors.ConditionFailed,
        errors.PreviewUnavailable,
        errors.RegistryUnavailable,
        errors.ImportancesUnavailable,
        errors.LineageUnavailable,
        errors.PagerUnavailable,
        errors.TimelineUnavailable,
        errors.ActuatorConflict,
        errors.ActuatorRefused,
        errors.ActuatorUnavailable,
        errors.LeaseLost,
    }
    every = {e for e in vars(errors).values() if isinstance(e, type)}
    assert {e for e in every if issubclass(e, errors.RunbookError)} == internal | set(ERRORS)
