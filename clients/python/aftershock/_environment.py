"""Where the services are and who is calling, from arguments and the environment, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aftershock._errors import ConfigurationError

_TRUE = frozenset({"1", "true", "yes", "on"})


class Service(StrEnum):
    """A service of the platform."""

    ATTRIBUTION = "attribution"
    AGGREGATOR = "aggregator"
    RUNBOOK = "runbook"
    AUDIT = "audit"

    @property
    def variable(self) -> str:
        """The environment variable with its address."""
        return f"AFTERSHOCK_{self.upper()}_ADDRESS"


@dataclass(frozen=True)
class Environment:
    """The variables that the SDK reads. See docs/reference/sdk.md."""

    address: str | None = None
    addresses: Mapping[Service, str] = field(default_factory=dict)
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    token: str | None = None
    disabled: bool = False

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Environment":
        """Read the variables. An empty one counts as not set."""

        def path(name: str) -> Path | None:
            return Path(variables[name]) if variables.get(name) else None

        return cls(
            address=variables.get("AFTERSHOCK_ADDRESS") or None,
            addresses={s: variables[s.variable] for s in Service if variables.get(s.variable)},
            tls_ca=path("AFTERSHOCK_TLS_CA"),
            tls_certificate=path("AFTERSHOCK_TLS_CERTIFICATE"),
            tls_key=path("AFTERSHOCK_TLS_KEY"),
            token=variables.get("AFTERSHOCK_TOKEN") or None,
            disabled=variables.get("AFTERSHOCK_DISABLED", "").lower() in _TRUE,
        )

    @property
    def has_tls(self) -> bool:
        """Whether any TLS file is named."""
        return any((self.tls_ca, self.tls_certificate, self.tls_key))


@dataclass(frozen=True)
class Endpoints:
    """The address of each service.

    In order: the service's own argument, the shared argument, the service's own variable, the
    shared variable.
    """

    environment: Environment
    address: str | None = None
    addresses: Mapping[Service, str | None] = field(default_factory=dict)

    def of(self, service: Service) -> str:
        """Return the address of a service, `host:port`.

        Raises:
            ConfigurationError: nothing says where it is.
        """
        found = (
            self.addresses.get(service)
            or self.address
            or self.environment.addresses.get(service)
            or self.environment.address
        )
        if not found:
            raise ConfigurationError(
                f"no address of the {service} service: pass {service}='host:port' (on the command "
                f"line --{service} host:port), or set {service.variable}, or AFTERSHOCK_ADDRESS "
                "where one endpoint serves all"
            )
        return found
