"""A served call: identified, bounded, validated, and answered with a canonical status."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from aftershock.v1.incident_pb2 import Incident
from services.chassis.errors import DependencyUnavailable
from services.chassis.interceptors.auth import current_principal
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from services.chassis.tokens import Role, issue_token, new_key_pair

_NAME = "aftershock.v1.RunbookService"
_PRIVATE, _PUBLIC = new_key_pair()


class Servicer(rpc.RunbookServiceServicer):
    """Answers with who called, or fails as the request's name says."""

    async def GetIncident(  # noqa: N802
        self, request: pb.GetIncidentRequest, context: Any
    ) -> pb.GetIncidentResponse:
        match request.name:
            case "incidents/missing":
                raise KeyError("a secret of the server")
            case "incidents/down":
                raise DependencyUnavailable("the database is down: try again", retry_after=2.5)
        return pb.GetIncidentResponse(incident=Incident(name=current_principal().name))

    async def WatchIncidents(  # noqa: N802
        self, request: pb.WatchIncidentsRequest, context: Any
    ) -> AsyncIterator[pb.WatchIncidentsResponse]:
        yield pb.WatchIncidentsResponse(incident=Incident(name="incidents/1"))
        raise DependencyUnavailable("the feed broke: resume")


def _service() -> Service:
    return Service(
        names=[_NAME],
        register=lambda server: rpc.add_RunbookServiceServicer_to_server(Servicer(), server),  # type: ignore[abstract]
        errors={},
        access={
            f"/{_NAME}/GetIncident": Role.READER,
            f"/{_NAME}/WatchIncidents": Role.READER,
        },
    )


@dataclass
class Running:
    stub: "rpc.RunbookServiceAsyncStub"
    channel: grpc.aio.Channel


async def _running(settings: ServiceSettings) -> AsyncIterator[Running]:
    server = build_server(_service(), settings)
    address = bind(server, settings)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield Running(rpc.RunbookServiceStub(channel), channel)
    await server.stop(None)


@pytest.fixture
async def open_server() -> AsyncIterator[Running]:
    async for running in _running(ServiceSettings()):
        yield running


@pytest.fixture
async def closed_server(tmp_path: Path) -> AsyncIterator[Running]:
    key = tmp_path / "public.pem"
    key.write_bytes(_PUBLIC)
    async for running in _running(ServiceSettings(token_public_key=key)):
        yield running


def _details(error: grpc.aio.AioRpcError, kind: type[Message]) -> list[Any]:
    trailers = error.trailing_metadata() or ()
    raw = next(value for key, value in trailers if key == "grpc-status-details-bin")
    assert isinstance(raw, bytes)
    found = []
    for detail in Status.FromString(raw).details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def _bearer(*roles: Role, lifetime: timedelta = timedelta(minutes=1)) -> dict[str, Any]:
    token = issue_token(_PRIVATE, "ann", roles, lifetime)
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 5}


async def _refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_unary_call_without_a_deadline_is_refused(open_server: Running) -> None:
    error = await _refused(open_server.stub.GetIncident(pb.GetIncidentRequest(name="incidents/1")))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    [info] = _details(error, ErrorInfo)
    assert (info.reason, info.domain) == ("ERROR_REASON_DEADLINE_REQUIRED", "aftershock.v1")
    assert "timeout" in (error.details() or "")


async def test_a_request_that_breaks_a_rule_names_the_field(open_server: Running) -> None:
    call = open_server.stub.ListIncidents(
        pb.ListIncidentsRequest(model="no prefix", page_size=-1), timeout=5
    )
    error = await _refused(call)
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED  # left out of the access table

    error = await _refused(
        open_server.stub.GetIncident(pb.GetIncidentRequest(name="nonsense"), timeout=5)
    )
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    [bad] = _details(error, BadRequest)
    assert [v.field for v in bad.field_violations] == ["name"]


async def test_an_unexpected_error_keeps_its_text_in_the_log(
    open_server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    error = await _refused(
        open_server.stub.GetIncident(pb.GetIncidentRequest(name="incidents/missing"), timeout=5)
    )
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")
    assert "a secret of the server" in caplog.text


async def test_a_dependency_that_is_down_says_when_to_retry(open_server: Running) -> None:
    error = await _refused(
        open_server.stub.GetIncident(pb.GetIncidentRequest(name="incidents/down"), timeout=5)
    )
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    [retry] = _details(error, RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 2500


async def test_a_stream_delivers_before_it_fails(open_server: Running) -> None:
    call = open_server.stub.WatchIncidents(pb.WatchIncidentsRequest())
    first = await call.read()
    assert isinstance(first, pb.WatchIncidentsResponse)
    assert first.incident.name == "incidents/1"
    error = await _refused(call.read())
    assert error.code() == grpc.StatusCode.UNAVAILABLE


async def test_without_a_key_the_caller_is_local(open_server: Running) -> None:
    answer = await open_server.stub.GetIncident(
        pb.GetIncidentRequest(name="incidents/1"), timeout=5
    )
    assert answer.incident.name == "local"


async def test_a_token_identifies_and_its_roles_decide(closed_server: Running) -> None:
    request = pb.GetIncidentRequest(name="incidents/1")
    for roles in ([Role.READER], [Role.ADMIN]):
        answer = await closed_server.stub.GetIncident(request, **_bearer(*roles))
        assert answer.incident.name == "ann"
    error = await _refused(closed_server.stub.GetIncident(request, **_bearer(Role.PIPELINE)))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "reader" in (error.details() or "")


@pytest.mark.parametrize(
    "metadata",
    [
        {"timeout": 5},
        _bearer(Role.READER, lifetime=timedelta(seconds=-1)),
        {"timeout": 5, "metadata": (("authorization", "Bearer nonsense"),)},
    ],
    ids=["absent", "expired", "malformed"],
)
async def test_who_cannot_be_identified_is_refused(
    closed_server: Running, metadata: dict[str, Any]
) -> None:
    request = pb.GetIncidentRequest(name="incidents/1")
    error = await _refused(closed_server.stub.GetIncident(request, **metadata))
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "token" in (error.details() or "")


async def test_reflection_lists_the_service(open_server: Running) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(open_server.channel)  # type: ignore[arg-type]
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]))
    names = [s.name async for r in call for s in r.list_services_response.service]
    assert _NAME in names
