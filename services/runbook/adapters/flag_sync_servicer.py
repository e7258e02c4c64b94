"""flagd.sync.v1.FlagSyncService: what any OpenFeature flagd provider follows.

The messages are ours, byte for byte flagd's: a process registers a message name once, and a
provider in the same process brings flagd's own. The methods lie outside the contract, so the
access table does not cover them: who reaches the port may read the flags.
"""

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct

from aftershock.v1.flag_sync_pb2 import (
    FlagFetchRequest,
    FlagFetchResponse,
    FlagMetadataRequest,
    FlagMetadataResponse,
    FlagSyncRequest,
    FlagSyncResponse,
)
from services.runbook.adapters.actuators.flagd_sync import FlagBoard

FLAG_SYNC = "flagd.sync.v1.FlagSyncService"

_Context = grpc.aio.ServicerContext[Any, Any]


class FlagSyncServicer:
    """Serves the board's flags."""

    def __init__(self, board: FlagBoard) -> None:
        self._board = board

    async def sync_flags(self, request: FlagSyncRequest, context: _Context) -> AsyncIterator[bytes]:
        """Send the whole configuration now and at each change, as the response's bytes.

        Subscribers of one model are sent the same: it is written out once for all of them.
        """
        async for configuration in self._board.configurations(_selected(request, context)):
            yield _response(configuration)

    async def fetch_all_flags(
        self, request: FlagFetchRequest, context: _Context
    ) -> FlagFetchResponse:
        """Send the whole configuration once."""
        configuration = await self._board.configuration(_selected(request, context))
        return FlagFetchResponse(flag_configuration=configuration)

    async def get_metadata(
        self, _request: FlagMetadataRequest, _context: _Context
    ) -> FlagMetadataResponse:
        """Say who serves. The Python provider fails where this is absent or empty."""
        metadata = Struct()
        metadata.update({"source": "aftershock"})
        return FlagMetadataResponse(metadata=metadata)


@lru_cache(maxsize=256)
def _response(configuration: str) -> bytes:
    return FlagSyncResponse(flag_configuration=configuration).SerializeToString()


def add_flag_sync_to_server(servicer: FlagSyncServicer, server: grpc.aio.Server) -> None:
    """Register the servicer under flagd's method names."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "SyncFlags": grpc.unary_stream_rpc_method_handler(
            servicer.sync_flags,
            FlagSyncRequest.FromString,
        ),
        "FetchAllFlags": grpc.unary_unary_rpc_method_handler(
            servicer.fetch_all_flags,
            FlagFetchRequest.FromString,
            FlagFetchResponse.SerializeToString,
        ),
        "GetMetadata": grpc.unary_unary_rpc_method_handler(
            servicer.get_metadata,
            FlagMetadataRequest.FromString,
            FlagMetadataResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(FLAG_SYNC, handlers),))


def _selected(request: FlagSyncRequest | FlagFetchRequest, context: _Context) -> str:
    """Return the id of the model that the subscriber asks for; empty for all."""
    selector = request.selector
    for key, value in context.invocation_metadata() or ():
        if key == "flagd-selector":
            selector = str(value)
    return selector.removeprefix("models/")
