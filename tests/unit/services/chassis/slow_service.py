"""A process for tests: serves one method that takes its time. Settings come as JSON."""

import asyncio
import json
import sys
from typing import Any

from aftershock.v1 import runbook_service_pb2 as pb
from aftershock.v1 import runbook_service_pb2_grpc as rpc
from services.chassis.server import Service, serve
from services.chassis.settings import ServiceSettings
from services.chassis.telemetry import configure_logging
from services.chassis.tokens import Role

NAME = "aftershock.v1.RunbookService"


class Slow(rpc.RunbookServiceServicer):
    """Answers after a second, or fails at once."""

    async def GetIncident(  # noqa: N802
        self, request: pb.GetIncidentRequest, context: Any
    ) -> pb.GetIncidentResponse:
        """Take a second."""
        await asyncio.sleep(1)
        return pb.GetIncidentResponse()


async def fail() -> None:
    """Stand for a background task that breaks."""
    raise RuntimeError("the worker broke")


def main() -> None:
    """Serve until a signal; with "break" as second argument, until the background breaks."""
    settings = ServiceSettings.model_validate_json(sys.argv[1])
    configure_logging(settings)
    service = Service(
        names=[NAME],
        register=lambda server: rpc.add_RunbookServiceServicer_to_server(Slow(), server),  # type: ignore[abstract]
        errors={},
        access={f"/{NAME}/GetIncident": Role.READER},
        background=[fail] if json.loads(sys.argv[2]) else [],
    )
    asyncio.run(serve(service, settings))


if __name__ == "__main__":
    main()
