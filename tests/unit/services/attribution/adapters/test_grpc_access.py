"""Every method demands a role."""

from aftershock.v1 import attribution_service_pb2 as pb
from services.attribution.adapters.grpc_access import ACCESS
from services.chassis.tokens import Role

SERVICE = pb.DESCRIPTOR.services_by_name["AttributionService"]


def test_the_table_covers_the_service() -> None:
    assert set(ACCESS) == {f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods}


def test_only_admins_change_which_checkpoints_there_are() -> None:
    admins = {method.rpartition("/")[2] for method, role in ACCESS.items() if role is Role.ADMIN}
    assert admins == {"LoadCheckpoint", "UnloadCheckpoint"}
