"""What is told and asked of the lineage graph, without a channel."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from aftershock import _methods as methods
from aftershock._calls import Call, Flow, ask
from aftershock._names import model_name, timestamp
from aftershock.v1.lineage_service_pb2 import (
    FeatureSources,
    FindCommonCausesRequest,
    FindCommonCausesResponse,
    GetBlastRadiusRequest,
    GetBlastRadiusResponse,
    GetLineageRequest,
    GetLineageResponse,
    OutputFeed,
    RegisterFeaturesRequest,
    RegisterModelRequest,
    ShiftedNodes,
    TracePropagationRequest,
    TracePropagationResponse,
    WatchPropagationRequest,
    WatchPropagationResponse,
)


def register_features(features: Iterable[FeatureSources], since: datetime | None) -> Flow[bool]:
    """Tell what features are made of; False if the same was told before."""
    request = RegisterFeaturesRequest(features=features)
    _begin(request, since)
    return not (yield from ask(methods.REGISTER_FEATURES, request)).duplicate


def register_model(
    model: str,
    features: Iterable[str],
    feeds: Iterable[OutputFeed],
    *,
    owner: str,
    description: str,
    since: datetime | None,
) -> Flow[bool]:
    """Tell what feeds a model and what it feeds; False if the same was told before."""
    request = RegisterModelRequest(
        model=model_name(model),
        features=features,
        feeds=feeds,
        owner=owner,
        description=description,
    )
    _begin(request, since)
    return not (yield from ask(methods.REGISTER_MODEL, request)).duplicate


def lineage(node: str, depth: int, as_of: datetime | None) -> Flow[GetLineageResponse]:
    """Return the graph around a node."""
    request = GetLineageRequest(node=node, depth=depth)
    if as_of is not None:
        request.as_of.CopyFrom(timestamp(as_of, "as_of"))
    return (yield from ask(methods.GET_LINEAGE, request))


def trace_propagation(
    node: str, start: datetime | None, end: datetime | None, depth: int
) -> Flow[TracePropagationResponse]:
    """Return the story of a shift."""
    request = TracePropagationRequest(node=node, depth=depth)
    if start is not None:
        request.start_time.CopyFrom(timestamp(start, "start"))
    if end is not None:
        request.end_time.CopyFrom(timestamp(end, "end"))
    return (yield from ask(methods.TRACE_PROPAGATION, request))


def common_causes(
    shifted: str | Iterable[str],
    time: datetime | None,
    depth: int,
    lookback: timedelta | None,
    limit: int,
    *,
    with_others: bool,
) -> Flow[FindCommonCausesResponse]:
    """Return what best explains the nodes that shifted, or the window in which they did."""
    request = FindCommonCausesRequest(depth=depth, limit=limit, with_others=with_others)
    if isinstance(shifted, str):
        request.window = shifted
    else:
        nodes = ShiftedNodes(nodes=shifted)
        if time is not None:
            nodes.time.CopyFrom(timestamp(time, "time"))
        request.nodes.CopyFrom(nodes)
    if lookback is not None:
        request.event_lookback.FromTimedelta(lookback)
    return (yield from ask(methods.FIND_COMMON_CAUSES, request))


def blast_radius(
    nodes: Iterable[str], model: str | None, depth: int
) -> Flow[GetBlastRadiusResponse]:
    """Return what would notice if the nodes were switched off together."""
    request = GetBlastRadiusRequest(nodes=nodes, depth=depth)
    if model is not None:
        request.model = model_name(model)
    return (yield from ask(methods.GET_BLAST_RADIUS, request))


def watch_propagation(
    model: str, cursor: str, depth: int, least: float
) -> Call[WatchPropagationRequest, WatchPropagationResponse]:
    """Return the call that warns a model's owner, from a cursor on."""
    request = WatchPropagationRequest(
        model=model_name(model),
        cursor=cursor,
        depth=depth,
        least_expected_shift=least,
        send_start=not cursor,
    )
    return Call(methods.WATCH_PROPAGATION, request)


def _begin(request: RegisterFeaturesRequest | RegisterModelRequest, since: datetime | None) -> None:
    """Say since when, and make equal requests one: it counts once."""
    if since is not None:
        request.valid_from.CopyFrom(timestamp(since, "since"))
    else:
        request.valid_from.GetCurrentTime()
    request.request_id = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
