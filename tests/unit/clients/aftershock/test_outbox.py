"""No chunk is lost and none is counted twice, whatever streams break and services answer."""

import grpc
from google.rpc.status_pb2 import Status
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aftershock._outbox import Outbox
from aftershock.v1.attribution_service_pb2 import BatchReceipt, ComputeLfiResponse
from aftershock.v1.example_pb2 import ExampleBatch

_LIMIT = 100


class OutboxMachine(RuleBasedStateMachine):
    """Compares the outbox with a plain account of every chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(_LIMIT)
        self.fate: dict[str, str] = {}
        self.on_stream: list[str] = []
        self.dropped = 0

    @rule(size=st.integers(1, 60))
    def send(self, size: int) -> None:
        if not self.outbox.has_room:
            self.outbox.drop(1)
            self.dropped += 1
            return
        name = f"{len(self.fate):04d}"
        self.outbox.put(ExampleBatch(batch_id=name, arrow_stream=b"x" * size), 1)
        self.fate[name] = "pending"

    @rule()
    def take(self) -> None:
        batch = self.outbox.take()
        waiting = [n for n, f in self.fate.items() if f == "pending" and n not in self.on_stream]
        assert (batch.batch_id if batch else None) == (min(waiting) if waiting else None)
        if batch is not None:
            self.on_stream.append(batch.batch_id)

    @precondition(lambda self: self.on_stream)
    @rule(fate=st.sampled_from(["accepted", "duplicate", "refused", "pending"]))
    def answer(self, fate: str) -> None:
        name = self.on_stream.pop(0)
        self.fate[name] = fate
        self.outbox.settle(_response(name, fate))

    @rule()
    def answer_to_a_stranger(self) -> None:
        assert self.outbox.settle(_response("stranger", "accepted")) is None

    @rule()
    def stream_breaks(self) -> None:
        self.on_stream = []
        self.outbox.rewind()

    @rule()
    def give_up(self) -> None:
        pending = [n for n, f in self.fate.items() if f == "pending"]
        assert self.outbox.discard() == len(pending)
        self.dropped += len(pending)
        self.on_stream = []
        for name in pending:
            self.fate[name] = "dropped"

    @invariant()
    def each_chunk_is_counted_once(self) -> None:
        stats, fates = self.outbox.stats, list(self.fate.values())
        assert stats.accepted == fates.count("accepted")
        assert stats.duplicate == fates.count("duplicate")
        assert stats.refused == fates.count("refused")
        assert stats.pending == fates.count("pending")
        assert stats.dropped == self.dropped
        assert self.outbox.is_empty == (stats.pending == 0)


def _response(name: str, fate: str) -> ComputeLfiResponse:
    if fate == "refused":
        code: int = grpc.StatusCode.INVALID_ARGUMENT.value[0]
        return ComputeLfiResponse(batch_id=name, error=Status(code=code, message="no"))
    if fate == "pending":
        code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        return ComputeLfiResponse(batch_id=name, error=Status(code=code, message="later"))
    return ComputeLfiResponse(batch_id=name, receipt=BatchReceipt(duplicate=fate == "duplicate"))


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
