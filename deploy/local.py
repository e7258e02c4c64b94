"""The whole platform on one machine, each service its own process: `python -m deploy.local`."""

import argparse
import getpass
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.child import Child, ChildFailed
from deploy.keys import Keys, write_secret
from deploy.valkey import Valkey
from services.chassis.tokens import Role

_POLICY = Path(__file__).parent / "policies" / "threshold.yaml"
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Addresses:
    """Where each service listens, `host:port`."""

    attribution: str
    aggregator: str
    runbook: str
    lineage: str
    """The aggregator's HTTP server for OpenLineage events."""
    audit: str | None = None
    """None: it was not asked for."""


class Platform:
    """Valkey, SQLite and the three services, from `start` to `stop`.

    `data` keeps windows, incidents, keys and logs between runs. With `port`, the services listen on
    it and the two above, and OpenLineage events are taken on the fourth above; without, on free
    ones. With `snapshots`, the audit service reads what lies under that folder, and listens on the
    third port above. `settings` are extra environment
    variables for the services.
    """

    addresses: Addresses

    def __init__(
        self,
        data: Path,
        *,
        checkpoints: Sequence[Path] = (),
        port: int | None = None,
        snapshots: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data.resolve()
        self._checkpoints = [path.resolve() for path in checkpoints]
        self._port = port
        self._snapshots = snapshots
        self._settings = dict(settings or {})
        self._keys = Keys(self.data / "keys")
        self._stack = ExitStack()
        self._children: list[Child | Valkey] = []

    def __enter__(self) -> Self:
        """Start everything, or nothing."""
        with ExitStack() as stack:
            self._stack = stack
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything in reverse."""
        self._stack.close()

    def token(self, name: str, *roles: Role) -> str:
        """Return a token that identifies `name` to the services."""
        return self._keys.token(name, *roles)

    def environment(self, token: str) -> dict[str, str]:
        """Return what a client needs in its environment to call the platform."""
        variables = {
            "AFTERSHOCK_ATTRIBUTION_ADDRESS": self.addresses.attribution,
            "AFTERSHOCK_AGGREGATOR_ADDRESS": self.addresses.aggregator,
            "AFTERSHOCK_RUNBOOK_ADDRESS": self.addresses.runbook,
            "AFTERSHOCK_AUDIT_ADDRESS": self.addresses.audit or "",
            "AFTERSHOCK_TOKEN": token,
            "OPENLINEAGE_URL": f"http://{self.addresses.lineage}",
            "OPENLINEAGE_API_KEY": token,
        }
        return {name: value for name, value in variables.items() if value}

    def check(self) -> None:
        """Raise ChildFailed if a part of the platform has ended."""
        for child in self._children:
            child.check()

    def _start(self) -> None:
        (self.data / "checkpoints").mkdir(parents=True, exist_ok=True)
        valkey = Valkey(self.data / "valkey")
        self._keep(valkey)
        lineage = self.data / "lineage.address"
        aggregator = self._serve(
            "aggregator",
            1,
            {
                "REDIS_URL": valkey.url,
                "LINEAGE_LISTEN": self._listen(4),
                "LINEAGE_ADDRESS_FILE": str(lineage),
            },
            lineage,
        )
        roots = {self.data / "checkpoints", *(path.parent for path in self._checkpoints)}
        attribution = self._serve(
            "attribution",
            0,
            {
                "AGGREGATOR_ADDRESS": aggregator,
                "CHECKPOINT_ROOTS": json.dumps(sorted(map(str, roots))),
                "LOAD": json.dumps([str(path) for path in self._checkpoints]),
            },
        )
        runbook = self._serve(
            "runbook",
            2,
            {
                "AGGREGATOR_ADDRESS": aggregator,
                "ATTRIBUTION_ADDRESS": attribution,
                "DATABASE_URL": f"sqlite:///{self.data / 'runbook.sqlite'}",
                "POLICIES": str(_POLICY),
            },
        )
        audit = self._audit(attribution, aggregator)
        self.addresses = Addresses(attribution, aggregator, runbook, lineage.read_text(), audit)

    def _listen(self, offset: int) -> str:
        return f"127.0.0.1:{self._port + offset if self._port else 0}"

    def _audit(self, attribution: str, aggregator: str) -> str | None:
        """Serve audits if there is something to audit, and return the address."""
        if self._snapshots is None:
            return None
        settings = {
            "DATA": str(self.data / "audits"),
            "SNAPSHOT_ROOTS": json.dumps([str(self._snapshots.resolve())]),
            "ATTRIBUTION_ADDRESS": attribution,
            "LINEAGE_ADDRESS": aggregator,
        }
        return self._serve("audit", 3, settings)

    def _serve(self, service: str, offset: int, settings: Mapping[str, str], *more: Path) -> str:
        """Start a service and return its address once it is ready, and all of its files there."""
        address_file = self.data / f"{service}.address"
        awaited = address_file, *more
        for file in awaited:
            file.unlink(missing_ok=True)
        common = {
            "LISTEN": self._listen(offset),
            "ADDRESS_FILE": str(address_file),
            "EXIT_WITH_PARENT": str(os.getpid()),
            "TOKEN_PUBLIC_KEY": str(self._keys.public),
            "TOKEN": self.token(service, Role.PIPELINE, Role.READER),
        }
        prefix = f"AFTERSHOCK_{service.upper()}_"
        environment = {prefix + key: value for key, value in (common | dict(settings)).items()}
        command = [sys.executable, "-m", f"services.{service}"]
        log = self.data / "logs" / f"{service}.log"
        child = Child(service, command, log, environment | self._settings)
        self._keep(child)
        child.wait_until(lambda: all(file.exists() for file in awaited), _START_SECONDS)
        return address_file.read_text()

    def _keep(self, child: Child | Valkey) -> None:
        self._children.append(child)
        self._stack.callback(child.stop)


def write_environment(platform: Platform) -> Path:
    """Write a file to source that lets this machine's user call the platform; return its path."""
    token = platform.token(getpass.getuser(), Role.ADMIN)
    lines = [f"export {key}={value}\n" for key, value in platform.environment(token).items()]
    file = platform.data / "environment"
    write_secret(file, "".join(lines))
    return file


def _stop_on_sigterm() -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def main() -> None:
    """Run the platform in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make up", description="Runs Aftershock locally.")
    default = Path(os.environ.get("AFTERSHOCK_DATA_DIR", ".aftershock"))
    parser.add_argument("--data", type=Path, default=default / "platform")
    parser.add_argument("--port", type=int, default=8461, help="and the four ports above")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--snapshots", type=Path, help="serve audits of what lies in this folder")
    arguments = parser.parse_args()
    _stop_on_sigterm()
    print("starting Valkey, aggregator, attribution and runbook ...", flush=True)
    try:
        with Platform(
            arguments.data,
            checkpoints=arguments.checkpoint,
            port=arguments.port,
            snapshots=arguments.snapshots,
        ) as platform:
            file = write_environment(platform)
            print(f"ready: attribution {platform.addresses.attribution}, ", end="")
            print(f"aggregator {platform.addresses.aggregator}, ", end="")
            print(f"runbook {platform.addresses.runbook}, ", end="")
            if platform.addresses.audit:
                print(f"audit {platform.addresses.audit}, ", end="")
            print(f"OpenLineage http://{platform.addresses.lineage}")
            print(f"call it from another terminal: source {file}", flush=True)
            while True:
                platform.check()
                time.sleep(1.0)
    except KeyboardInterrupt:
        print("stopped")
    except ChildFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
