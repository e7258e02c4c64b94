"""What a platform answers about how a shift spreads, and whom it warns."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from aftershock.v1 import lineage_service_pb2 as pb
from aftershock.v1.lineage_pb2 import PropagationWarning
from aftershock.v1.lineage_service_pb2_grpc import LineageServiceStub

_SECONDS = 20.0
_LOOKBACK = timedelta(hours=6)


@dataclass(frozen=True)
class LineageQuestions:
    """Asks the aggregator as one who may read."""

    channel: grpc.Channel
    token: str

    def common_causes(self, shifted: Sequence[str], at: datetime) -> pb.FindCommonCausesResponse:
        """Return what best explains that these nodes shifted together."""
        request = pb.FindCommonCausesRequest(nodes=pb.ShiftedNodes(nodes=shifted))
        request.nodes.time.FromDatetime(at)
        request.event_lookback.FromTimedelta(_LOOKBACK)
        return self._stub.FindCommonCauses(request, timeout=_SECONDS, metadata=self._metadata)

    def trace(self, node: str, start: datetime, end: datetime) -> pb.TracePropagationResponse:
        """Return how a shift of the node spread between two times."""
        request = pb.TracePropagationRequest(node=node)
        request.start_time.FromDatetime(start)
        request.end_time.FromDatetime(end)
        return self._stub.TracePropagation(request, timeout=_SECONDS, metadata=self._metadata)

    def watch(self, model: str) -> "Watcher":
        """Follow the warnings of a model, from now on."""
        request = pb.WatchPropagationRequest(model=f"models/{model}")
        return Watcher(self._stub.WatchPropagation(request, metadata=self._metadata))

    @property
    def _stub(self) -> LineageServiceStub:
        return LineageServiceStub(self.channel)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


@dataclass
class Watcher:
    """The owner of a model, who listens on a thread."""

    call: Iterable[pb.WatchPropagationResponse]
    warnings: list[tuple[float, PropagationWarning]] = field(default_factory=list)
    """With the times at which they came, monotonic."""

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def first(self) -> float | None:
        """When the first warning came."""
        return self.warnings[0][0] if self.warnings else None

    def stop(self) -> None:
        """Stop listening."""
        self.call.cancel()  # type: ignore[attr-defined]
        self._thread.join()

    def _listen(self) -> None:
        try:
            for response in self.call:
                self.warnings.append((time.monotonic(), response.warning))
        except grpc.RpcError:
            return
