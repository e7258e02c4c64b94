"""Starts the aggregator service."""

import asyncio
from collections.abc import Sequence

import grpc
from redis.asyncio import Redis

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1 import lineage_service_pb2 as lineage_pb
from aftershock.v1.aggregator_service_pb2_grpc import add_AggregatorServiceServicer_to_server
from aftershock.v1.lineage_service_pb2_grpc import add_LineageServiceServicer_to_server
from services.aggregator.adapters.grpc_access import ACCESS
from services.aggregator.adapters.grpc_errors import ERRORS
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_state import StateMeter
from services.aggregator.lineage_wiring import lineage_of
from services.aggregator.settings import AggregatorSettings
from services.aggregator.wiring import now, servicer_of, sweeper_of, window_parts
from services.chassis.http.server import HttpServer, Route
from services.chassis.server import Service, serve
from services.chassis.telemetry import configure_logging


def build_service(settings: AggregatorSettings, client: Redis) -> Service:
    """Wire the aggregator to its Redis; nothing connects yet."""
    parts = window_parts(settings, client)
    sweeper = sweeper_of(settings, client, parts)
    lineage = lineage_of(client, parts, now)
    servicer = servicer_of(settings, client, parts, lineage.timeline, sweeper.wake)

    async def run() -> None:
        try:
            await sweeper.run()
        finally:
            servicer.stopping.set()
            lineage.servicer.stopping.set()

    def register(server: grpc.aio.Server) -> None:
        add_AggregatorServiceServicer_to_server(servicer, server)
        add_LineageServiceServicer_to_server(lineage.servicer, server)

    return Service(
        names=[
            pb.DESCRIPTOR.services_by_name["AggregatorService"].full_name,
            lineage_pb.DESCRIPTOR.services_by_name["LineageService"].full_name,
        ],
        register=register,
        errors=ERRORS,
        access=ACCESS,
        background=[
            run,
            lineage.keeper.run,
            *(server.run for server in _http(settings, lineage.routes)),
            StateMeter(client, parts.checkpoints, settings.state_seconds).run,
        ],
    )


def _http(settings: AggregatorSettings, routes: Sequence[Route]) -> Sequence[HttpServer]:
    if settings.lineage_listen is None:
        return []
    server = HttpServer(
        routes=routes,
        errors=ERRORS,
        settings=settings,
        listen=settings.lineage_listen,
        address_file=settings.lineage_address_file,
        body_bytes=settings.lineage_body_bytes,
        body_seconds=settings.lineage_body_seconds,
        requests_at_once=settings.lineage_requests_at_once,
    )
    return [server]


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = AggregatorSettings()
    configure_logging(settings)
    asyncio.run(_serve(settings))


async def _serve(settings: AggregatorSettings) -> None:
    async with connect(settings.redis_url) as client:
        await serve(build_service(settings, client), settings)


if __name__ == "__main__":
    main()
