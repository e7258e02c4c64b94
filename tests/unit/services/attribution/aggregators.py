"""A real gRPC server of IngestLfi that records what it is sent and does as it is told."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from aftershock.v1 import aggregator_service_pb2 as pb
from aftershock.v1 import importance_pb2


def status(code: grpc.StatusCode, message: str, retry_after: float | None = None) -> Status:
    """Return a status, with RetryInfo if it says when to try again."""
    result = Status(code=code.value[0], message=message)
    if retry_after is not None:
        info = RetryInfo()
        info.retry_delay.FromMilliseconds(int(retry_after * 1000))
        result.details.add().Pack(info)
    return result


@dataclass
class RecordingAggregator:
    """Keeps blocks by id."""

    blocks: dict[str, importance_pb2.LfiBlock] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    """What came, in order: names of checkpoints and ids of blocks, over all streams."""
    streams: int = 0
    metadata: list[tuple[str, str]] = field(default_factory=list)
    answers: dict[str, deque[Status]] = field(default_factory=dict)
    """By block id: errors to answer before it is stored."""
    breaks: deque[tuple[int, Status]] = field(default_factory=deque)
    """How the next streams end: after how many blocks, unanswered, and with which status."""

    async def ingest(
        self, request_iterator: AsyncIterator[pb.IngestLfiRequest], context: Any
    ) -> AsyncIterator[pb.IngestLfiResponse]:
        """Store, answer or break."""
        self.streams += 1
        self.metadata = [(key, str(value)) for key, value in context.invocation_metadata()]
        left, end = self.breaks.popleft() if self.breaks else (None, Status())
        async for request in request_iterator:
            if request.WhichOneof("content") == "checkpoint":
                self.received.append(request.checkpoint.name)
                continue
            if left == 0:
                await abort(context, end)
            left = None if left is None else left - 1
            yield self._answer(request.block)

    def _answer(self, block: importance_pb2.LfiBlock) -> pb.IngestLfiResponse:
        self.received.append(block.block_id)
        if waiting := self.answers.get(block.block_id):
            return pb.IngestLfiResponse(block_id=block.block_id, error=waiting.popleft())
        duplicate = block.block_id in self.blocks
        self.blocks[block.block_id] = block
        receipt = pb.IngestReceipt(window=f"{block.model}/windows/w", duplicate=duplicate)
        return pb.IngestLfiResponse(block_id=block.block_id, receipt=receipt)


async def abort(context: Any, end: Status) -> None:
    """End a call with a status and its details."""
    code = next(c for c in grpc.StatusCode if c.value[0] == end.code)
    details = (("grpc-status-details-bin", end.SerializeToString()),)
    await context.abort(code, end.message, trailing_metadata=details)


@asynccontextmanager
async def served(
    aggregator: RecordingAggregator, address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """Serve the aggregator and say where."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.stream_stream_rpc_method_handler(
        aggregator.ingest,
        request_deserializer=pb.IngestLfiRequest.FromString,
        response_serializer=pb.IngestLfiResponse.SerializeToString,
    )
    name = pb.DESCRIPTOR.services_by_name["AggregatorService"].full_name
    handlers = grpc.method_handlers_generic_handler(name, {"IngestLfi": handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
