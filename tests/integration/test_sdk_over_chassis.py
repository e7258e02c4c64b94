"""The SDK against a server that stands on the chassis: identity, deadlines, rules, errors."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from aftershock import Client, Conflict, InvalidRequest, NotAllowed, ServerFailure
from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from aftershock.v1.error_reason_pb2 import ErrorReason
from aftershock.v1.incident_pb2 import Incident
from services.chassis.errors import ErrorStatus
from services.chassis.interceptors.auth import current_principal
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role, issue_token, new_key_pair

_NAME = "aftershock.v1.RunbookService"
_PRIVATE, _PUBLIC = new_key_pair()


class StalePlan(Exception):
    field = "plan_hash"


class Servicer(rpc.RunbookServiceServicer):
    """Answers with who called, or fails as the request says."""

    async def GetIncident(  # noqa: N802
        self, request: pb.GetIncidentRequest, context: Any
    ) -> pb.GetIncidentResponse:
        if request.name == "incidents/broken":
            raise KeyError("a secret of the server")
        return pb.GetIncidentResponse(
            incident=Incident(name=request.name, advice=current_principal().name)
        )

    async def ListIncidents(  # noqa: N802
        self, request: pb.ListIncidentsRequest, context: Any
    ) -> pb.ListIncidentsResponse:
        return pb.ListIncidentsResponse()

    async def ApproveMitigation(  # noqa: N802
        self, request: pb.ApproveMitigationRequest, context: Any
    ) -> pb.ApproveMitigationResponse:
        raise StalePlan("the plan changed: look again")

    async def WatchIncidents(  # noqa: N802
        self, request: pb.WatchIncidentsRequest, context: Any
    ) -> AsyncIterator[pb.WatchIncidentsResponse]:
        yield pb.WatchIncidentsResponse(incident=Incident(name=current_principal().name))


def _service() -> Service:
    stale = ErrorStatus(grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STALE_PLAN)
    return Service(
        names=[_NAME],
        register=lambda server: rpc.add_RunbookServiceServicer_to_server(Servicer(), server),  # type: ignore[abstract]
        errors={StalePlan: stale},
        access={
            f"/{_NAME}/GetIncident": Role.READER,
            f"/{_NAME}/ListIncidents": Role.READER,
            f"/{_NAME}/WatchIncidents": Role.READER,
            f"/{_NAME}/ApproveMitigation": Role.APPROVER,
        },
    )


def _token(*roles: Role) -> str:
    return issue_token(_PRIVATE, "dana", roles, timedelta(minutes=5))


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    key = tmp_path / "public.pem"
    key.write_bytes(_PUBLIC)
    settings = ServiceSettings(token_public_key=key)
    server = build_server(_service(), settings)
    address = bind(server, settings)
    await server.start()
    yield address
    await server.stop(None)


async def test_a_reader_is_identified_and_reads(address: str) -> None:
    with Client(address, token=_token(Role.READER)) as client:
        incident = await asyncio.to_thread(client.incident, "INC-1")
        assert incident == Incident(name="incidents/INC-1", advice="dana")
        first = await asyncio.to_thread(next, client.watch_incidents())
        assert first.name == "dana"


async def test_nobody_and_the_wrong_role_are_not_allowed(address: str) -> None:
    mitigation = "incidents/INC-1/mitigations/M-1"
    with Client(address) as nobody:
        with pytest.raises(NotAllowed, match="AFTERSHOCK_TOKEN") as caught:
            await asyncio.to_thread(nobody.incident, "INC-1")
        assert caught.value.reason == "UNAUTHENTICATED"
    with Client(address, token=_token(Role.READER)) as reader:
        plan = pb.ApproveMitigationResponse().mitigation
        plan.name, plan.plan_hash = mitigation, "cd" * 32
        with pytest.raises(NotAllowed, match="it takes the role approver"):
            await asyncio.to_thread(reader.approve, plan)


async def test_errors_carry_reason_and_fields(address: str) -> None:
    with Client(address, token=_token(Role.ADMIN)) as client:
        plan = pb.ApproveMitigationResponse().mitigation
        plan.name = "incidents/INC-1/mitigations/M-1"
        with pytest.raises(InvalidRequest) as caught:
            await asyncio.to_thread(client.approve, plan)
        assert caught.value.violations[0].field == "plan_hash"
        plan.plan_hash = "cd" * 32
        with pytest.raises(Conflict, match="look again") as stale:
            await asyncio.to_thread(client.approve, plan)
        assert stale.value.reason == "STALE_PLAN"
        with pytest.raises(ServerFailure, match="internal error"):
            await asyncio.to_thread(client.incident, "broken")


async def test_the_contracts_rules_name_the_field(address: str) -> None:
    with (
        Client(address, token=_token(Role.READER)) as client,
        pytest.raises(InvalidRequest, match="model") as caught,
    ):
        await asyncio.to_thread(client.incidents, "no such form of a name")
    assert [violation.field for violation in caught.value.violations] == ["model"]
