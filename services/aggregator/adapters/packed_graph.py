"""The state of the lineage graph as bytes.

A header, then JSON of what the numbers refer to, the nodes as messages, rows and restatements as
little-endian arrays; each part's length is in the header.
"""

import json
import struct
from itertools import pairwise

import numpy as np

from aftershock.v1 import lineage_service_pb2 as pb
from services.aggregator.adapters.lineage_messages import node_message, node_of
from services.aggregator.domain.lineage.edges import ROW
from services.aggregator.domain.lineage.facts import Transform, TransformKind
from services.aggregator.domain.lineage.state import GraphState

_VERSION = 1
_HEADER = struct.Struct("<B4Q")
_KEPT = np.dtype(
    [
        *((name, "<i4") for name in ("source", "target", "provenance", "transform")),
        *((name, "<f4") for name in ("declared", "measured", "strength")),
        *((name, "<i8") for name in ("start", "end", "last")),
    ]
)


def pack_graph(state: GraphState) -> bytes:
    """Return the state as bytes."""
    transforms = [(t.kind.name, t.operation, t.description) for t in state.transforms]
    words = json.dumps({"provenances": list(state.provenances), "transforms": transforms}).encode()
    # The messages of a registration, for want of a list of its own.
    nodes = pb.RegisterLineageRequest(nodes=map(node_message, state.nodes)).SerializeToString()
    rows = np.empty(len(state.rows), _KEPT)
    for name in _KEPT.names or ():
        rows[name] = state.rows[name]
    restated = np.array([*state.restated.keys(), *state.restated.values()], "<i8")
    parts = words, nodes, rows.tobytes(), restated.tobytes()
    return b"".join([_HEADER.pack(_VERSION, *map(len, parts)), *parts])


def unpack_graph(payload: bytes) -> GraphState:
    """Return the state of packed bytes."""
    _, *lengths = _HEADER.unpack_from(payload)
    ends = np.cumsum([_HEADER.size, *lengths]).tolist()
    parts = [payload[start:end] for start, end in pairwise(ends)]
    words = json.loads(parts[0])
    kept = np.frombuffer(parts[2], _KEPT)
    rows = np.zeros(len(kept), ROW)
    for name in _KEPT.names or ():
        rows[name] = kept[name]
    keys, times = np.frombuffer(parts[3], "<i8").reshape(2, -1).tolist()
    return GraphState(
        nodes=[node_of(node) for node in pb.RegisterLineageRequest.FromString(parts[1]).nodes],
        provenances=words["provenances"],
        transforms=[
            Transform(TransformKind[kind], operation, description)
            for kind, operation, description in words["transforms"]
        ],
        rows=rows,
        restated=dict(zip(keys, times, strict=True)),
    )
