"""How the joint importance of features moved, without a channel.

The aggregator keeps examples of its latest windows, and knows which features a node feeds;
attribution ablates those together. Nobody else knows both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aftershock import _methods as methods
from aftershock._aggregator_calls import list_windows
from aftershock._attribution_calls import list_checkpoints
from aftershock._calls import Flow, ask
from aftershock._errors import NotFound
from aftershock._names import window_name
from aftershock.v1.aggregator_service_pb2 import GetWindowSampleRequest
from aftershock.v1.attribution_service_pb2 import (
    TestGroupRequest,
    TestGroupResponse,
    WindowExamples,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint
from aftershock.v1.example_pb2 import Population
from aftershock.v1.lineage_service_pb2 import GetLineageRequest, LineageDirection
from aftershock.v1.window_pb2 import Window, WindowState

_FEATURE = "feature:"
_DEPTH = 3
"""From a pipeline by a dataset and a column to a feature."""
_MOST_NODES = 20_000
_MOST_STREAMS = 64
"""Of a window in one request."""
_CONSIDERED, _DISPLAYED = Population.POPULATION_CONSIDERED, Population.POPULATION_DISPLAYED
_REQUEST_BYTES = 56 * 1024 * 1024


@dataclass(frozen=True)
class GroupTest:
    """How the joint importance of features moved against their own."""

    control: Window
    window: Window
    earlier: Sequence[Window]
    """In the order of time: how much importances change while nothing is broken."""
    result: TestGroupResponse


def group_test(
    nodes: Iterable[str],
    model: str,
    *,
    window: Window | str | None,
    control: Window | str | None,
    earlier: int,
) -> Flow[GroupTest]:
    """Ablate what nodes feed together on the examples that are kept of windows."""
    windows = yield from list_windows(model, None)
    anomaly = _chosen(windows, window, model)
    checkpoint = yield from _checkpoint(anomaly, model)
    features = yield from _features(list(nodes), anomaly, checkpoint)
    candidates = _controls(windows, anomaly, control, model)
    known = yield from _gathered(anomaly, candidates[: earlier + 1])
    if len(known) == 1:
        raise _missing(
            f"no examples are kept of {candidates[0].name if candidates else 'any healthy window'} "
            f"before {anomaly.name}: ask within their retention, the aggregator's "
            "sample_retention_seconds"
        )
    request = TestGroupRequest(
        checkpoint=checkpoint.name, features=features, windows=[kept for _, kept in known]
    )
    result = yield from ask(methods.TEST_GROUP, request)
    *before, last, _ = [window for window, _ in known]
    return GroupTest(control=last, window=anomaly, earlier=before, result=result)


def _chosen(windows: Sequence[Window], wanted: Window | str | None, model: str) -> Window:
    """Return the window of a name, or the newest that is closed."""
    name = None if wanted is None else window_name(wanted, model)
    for window in windows:
        if window.name == name if name else _is_closed(window):
            return window
    wanted = name or f"closed window of {model}"
    raise _missing(f"the aggregator keeps no {wanted}")


def _checkpoint(window: Window, model: str) -> Flow[Checkpoint]:
    for held in (yield from list_checkpoints()):
        if held.name.startswith(f"{model}/") and held.digest == window.checkpoint_digest:
            return held
    raise _missing(f"attribution no longer holds the checkpoint that scored {window.name}: load it")


def _features(nodes: Sequence[str], window: Window, checkpoint: Checkpoint) -> Flow[list[str]]:
    """Return the checkpoint's features that the nodes are or feed."""
    fed = {node.removeprefix(_FEATURE) for node in nodes if node.startswith(_FEATURE)}
    for node in nodes:
        if not node.startswith(_FEATURE):
            fed |= yield from _fed_by(node, window)
    names = [
        feature.name
        for feature in checkpoint.features
        if feature.name in fed or fed.intersection(feature.members)
    ]
    if len(names) > 1:
        return names
    raise _missing(
        f"of what {checkpoint.name} takes, {', '.join(nodes)} makes {len(names)}: a group has two "
        "features or more"
    )


def _fed_by(node: str, window: Window) -> Flow[set[str]]:
    request = GetLineageRequest(
        node=node,
        depth=_DEPTH,
        direction=LineageDirection.LINEAGE_DIRECTION_DOWNSTREAM,
        as_of=window.end_time,
        node_limit=_MOST_NODES,
    )
    found = yield from ask(methods.GET_LINEAGE, request)
    names = {around.node.node for around in found.nodes}
    return {name.removeprefix(_FEATURE) for name in names if name.startswith(_FEATURE)}


def _controls(
    windows: Sequence[Window], anomaly: Window, control: Window | str | None, model: str
) -> Sequence[Window]:
    """Return the control and healthy windows before it, the newest first."""
    if control is None:
        return _healthy_before(windows, anomaly)
    chosen = _chosen(windows, control, model)
    if chosen.checkpoint_digest != anomaly.checkpoint_digest:
        raise _missing(
            f"{chosen.name} was scored by another checkpoint than {anomaly.name}, which may have "
            "been trained on it: name a control by the same"
        )
    return [chosen, *_healthy_before(windows, chosen)]


def _healthy_before(windows: Sequence[Window], later: Window) -> list[Window]:
    """Return windows of the same checkpoint that may serve as a control, the newest first."""
    return [
        window
        for window in windows
        if window.start_time.ToNanoseconds() < later.start_time.ToNanoseconds()
        and window.checkpoint_digest == later.checkpoint_digest
        and _is_closed(window)
        and not window.calibration.anomalous
    ]


def _gathered(
    anomaly: Window, candidates: Sequence[Window]
) -> Flow[list[tuple[Window, WindowExamples]]]:
    """Return the examples that are kept of the windows, `anomaly` last, in the order of time.

    They are considered ones, if any are kept of the anomaly: what a broken model chooses to display
    is biased by the break.
    """
    population, most_bytes = _CONSIDERED, _REQUEST_BYTES // (len(candidates) + 1)
    try:
        examples = yield from _examples(anomaly, population, most_bytes)
    except NotFound:
        population = _DISPLAYED
        examples = yield from _examples(anomaly, population, most_bytes)
    gathered = [(anomaly, examples)]
    for candidate in candidates:
        try:
            kept = yield from _examples(candidate, population, most_bytes)
        except NotFound:
            # Examples expire with time: nothing is kept of windows before either.
            break
        gathered.insert(0, (candidate, kept))
    return gathered


def _examples(
    window: Window, population: Population.ValueType, most_bytes: int
) -> Flow[WindowExamples]:
    """Return what is kept of a population, as much as goes into a request."""
    request = GetWindowSampleRequest(window=window.name, population=population)
    streams = (yield from ask(methods.GET_WINDOW_SAMPLE, request)).arrow_streams
    size = sum(map(len, streams))
    step = max(-(-len(streams) // _MOST_STREAMS), -(-size // most_bytes))
    return WindowExamples(arrow_streams=streams[::step])


def _is_closed(window: Window) -> bool:
    return window.state == WindowState.WINDOW_STATE_CLOSED


def _missing(what: str) -> NotFound:
    return NotFound(what, code="NOT_FOUND")
