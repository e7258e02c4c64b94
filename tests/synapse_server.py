"""Synapse on a SQLite file, in its own environment: `python synapse_server.py CONFIGURATION`.

Prints its port once it serves, and ends when its standard input does.
"""
# mypy: ignore-errors

import os
import sys
import threading

from synapse.app import homeserver
from synapse.app._base import register_start
from synapse.logging.context import LoggingContext
from twisted.internet import reactor, tcp


async def begin(server) -> None:
    """Serve, and say where."""
    await homeserver.start(server)
    (listening,) = (each for each in reactor.getReaders() if isinstance(each, tcp.Port))
    print(listening.getHost().port, flush=True)


def end_with_standard_input() -> None:
    """Wait for its end, which comes however the parent ends."""
    sys.stdin.read()
    # The database is thrown away: nothing is worth a slow goodbye.
    os._exit(0)


configuration = homeserver.load_or_generate_config(["--config-path", sys.argv[1]])
with LoggingContext(name="main", server_name=configuration.server.server_name):
    synapse = homeserver.create_homeserver(configuration)
    homeserver.setup(synapse)
    register_start(synapse, begin, synapse)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    homeserver.start_reactor(configuration)
