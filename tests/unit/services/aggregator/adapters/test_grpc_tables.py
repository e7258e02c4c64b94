"""Every method has a role, every error a status."""

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1 import lineage_service_pb2 as lineage_pb
from services.aggregator.adapters.grpc_access import ACCESS
from services.aggregator.adapters.grpc_errors import ERRORS
from services.aggregator.domain.errors import AggregatorError
from services.chassis.tokens import Role

SERVICES = [
    pb.DESCRIPTOR.services_by_name["AggregatorService"],
    lineage_pb.DESCRIPTOR.services_by_name["LineageService"],
]
ROLES = {
    "IngestLfi": Role.PIPELINE,
    "ReportOutcomes": Role.PIPELINE,
    "SetModelRules": Role.ADMIN,
    "RegisterFeatures": Role.PIPELINE,
    "RegisterModel": Role.PIPELINE,
    "RegisterLineage": Role.PIPELINE,
    "RecordEvent": Role.PIPELINE,
}


def test_every_method_has_a_role() -> None:
    assert set(ACCESS) == {
        f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
    }


def test_pipelines_write_admins_rule_and_readers_read() -> None:
    for method, role in ACCESS.items():
        name = method.rpartition("/")[2]
        assert role is ROLES.get(name, Role.READER)


def test_every_error_has_a_status() -> None:
    assert set(ERRORS) == set(AggregatorError.__subclasses__())
