"""Every method has a role, every error a status."""

from aftershock.v1 import aggregator_service_pb2 as pb
from services.aggregator.adapters.grpc_access import ACCESS
from services.aggregator.adapters.grpc_errors import ERRORS
from services.aggregator.domain.errors import AggregatorError
from services.chassis.tokens import Role

SERVICE = pb.DESCRIPTOR.services_by_name["AggregatorService"]
ROLES = {
    "IngestLfi": Role.PIPELINE,
    "ReportOutcomes": Role.PIPELINE,
    "SetModelRules": Role.ADMIN,
}


def test_every_method_has_a_role() -> None:
    assert set(ACCESS) == {f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods}


def test_pipelines_write_admins_rule_and_readers_read() -> None:
    for method, role in ACCESS.items():
        name = method.rpartition("/")[2]
        assert role is ROLES.get(name, Role.READER)


def test_every_error_has_a_status() -> None:
    assert set(ERRORS) == set(AggregatorError.__subclasses__())
