"""A real Valkey cluster for tests: three nodes that share the slots, and replicas if asked for."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.valkey import ValkeyServer, start_valkey

_SLOTS = 16384
_NODES = 3
_BUS = 10_000  # a node's bus listens that far above its port
_START_SECONDS = 30.0
_CLUSTERED = (
    *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
    *("--repl-diskless-sync-delay", "0"),
)


@dataclass(frozen=True)
class ValkeyCluster:
    """Running nodes; those after the first three are replicas, in the same order."""

    nodes: Sequence[ValkeyServer]
    ports: Sequence[int]

    @property
    def url(self) -> str:
        """What the aggregator takes."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def ask(self, node: int, *command: Any) -> Any:
        """Return a node's answer, whichever slots it serves."""
        with self.nodes[node].connect() as client:
            return client.execute_command(*command)

    def owner(self, key: str) -> int:
        """The primary that serves the key."""
        return int(self.ask(0, "CLUSTER", "KEYSLOT", key)) * _NODES // _SLOTS


@contextmanager
def start_cluster(*options: str, replicas: bool = False) -> Iterator[ValkeyCluster]:
    """Run a cluster until the block is left; `options` are each node's."""
    ports = [_free_port() for _ in range(_NODES * (1 + replicas))]
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(start_valkey("--port", str(port), *_CLUSTERED, *options))
            for port in ports
        ]
        cluster = ValkeyCluster(nodes, ports)
        _join(cluster)
        yield cluster


def _join(cluster: ValkeyCluster) -> None:
    # The first slot s with s * nodes // slots == node.
    bounds = [-(-node * _SLOTS // _NODES) for node in range(_NODES + 1)]
    for node in range(_NODES):
        cluster.ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[node], bounds[node + 1] - 1)
    for port in cluster.ports[1:]:
        cluster.ask(0, "CLUSTER", "MEET", "127.0.0.1", port)
    everywhere = range(len(cluster.nodes))
    _await(lambda: all(_known(cluster, node) == len(cluster.nodes) for node in everywhere))
    for replica in everywhere[_NODES:]:
        primary = cluster.ask(replica - _NODES, "CLUSTER", "MYID")
        cluster.ask(replica, "CLUSTER", "REPLICATE", primary)
    _await(lambda: all(_is_ready(cluster, node) for node in everywhere))


def _known(cluster: ValkeyCluster, node: int) -> int:
    return len(cluster.ask(node, "CLUSTER", "NODES").splitlines())


def _is_ready(cluster: ValkeyCluster, node: int) -> bool:
    if b"cluster_state:ok" not in cluster.ask(node, "CLUSTER", "INFO"):
        return False
    return node < _NODES or cluster.ask(node, "ROLE")[3] == b"connected"


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the cluster does not come together")
        time.sleep(0.05)


def _free_port() -> int:
    """A port that is free like the one of its bus."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        low = port if port + _BUS < 65_536 else port - _BUS
        try:
            for each in (low, low + _BUS):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return low


@pytest.fixture(scope="session")
def valkey_cluster_nodes() -> Iterator[ValkeyCluster]:
    """One cluster a test process."""
    with start_cluster() as cluster:
        yield cluster


@pytest.fixture
def valkey_cluster(valkey_cluster_nodes: ValkeyCluster) -> ValkeyCluster:
    """The process's cluster, emptied."""
    for node in range(_NODES):
        valkey_cluster_nodes.ask(node, "FLUSHALL")
    return valkey_cluster_nodes
