"""Attribution's operations, without a channel."""

from operator import attrgetter

from aftershock import _methods as methods
from aftershock._calls import PAGE_SIZE, Flow, ask, pages
from aftershock.v1 import attribution_service_pb2 as attribution
from aftershock.v1.checkpoint_pb2 import Checkpoint


def list_checkpoints() -> Flow[list[Checkpoint]]:
    """List the checkpoints that attribution holds."""
    request = attribution.ListCheckpointsRequest(page_size=PAGE_SIZE)
    return (yield from pages(methods.LIST_CHECKPOINTS, request, attrgetter("checkpoints"), None))


def load_checkpoint(folder: str) -> Flow[Checkpoint]:
    """Load a checkpoint folder on attribution's disk."""
    request = attribution.LoadCheckpointRequest(folder=folder)
    answer = yield from ask(methods.LOAD_CHECKPOINT, request)
    return answer.checkpoint


def explain_checkpoint(name: str) -> Flow[attribution.ExplainCheckpointResponse]:
    """Return how a checkpoint is ablated."""
    request = attribution.ExplainCheckpointRequest(name=name)
    return (yield from ask(methods.EXPLAIN_CHECKPOINT, request))
