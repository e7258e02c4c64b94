"""Settings that every service has, read once from the environment and a file."""

import ipaddress
import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def is_loopback(address: str) -> bool:
    """Whether `host:port` can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ServiceSettings(BaseSettings):
    """Common settings. A service adds its own and sets the environment prefix.

    Later sources give way to earlier ones: keyword arguments, environment, then the TOML file that
    `{prefix}CONFIG` names. Unknown keys in the file are refused.
    """

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_", extra="forbid")

    listen: str = "127.0.0.1:0"
    """Address of the gRPC server, `host:port`. Port 0 takes a free one."""
    address_file: Path | None = None
    """Where to write the bound address once the server is ready."""
    metrics_listen: str | None = None
    """Address of the Prometheus endpoint. None: no endpoint."""
    reflection: bool = True
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long calls under way may take to finish after SIGTERM."""
    max_concurrent_rpcs: int = Field(default=256, ge=1)
    """Calls beyond this are answered RESOURCE_EXHAUSTED."""
    log_level: str = "INFO"
    log_format: str = Field(default="json", pattern="^(json|text)$")
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """With it, callers must present a certificate that it signed."""
    token_public_key: Path | None = None
    """PEM of the Ed25519 key that callers' tokens are verified with."""
    roster: Path | None = None
    """TOML file of whom delegates, such as chat bots, may speak for. None: for nobody."""
    token: str | None = None
    """The token that this service presents to others."""
    allow_insecure: bool = False
    """Serve other machines without TLS or without tokens."""
    exit_with_parent: int | None = Field(default=None, ge=1)
    """Id of the process that starts this one: stop when that dies (Linux). None: outlive it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file behind the environment."""
        file = os.environ.get(f"{settings_cls.model_config.get('env_prefix', '')}CONFIG")
        toml = TomlConfigSettingsSource(settings_cls, Path(file) if file else None)
        return init_settings, env_settings, file_secret_settings, toml

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        self.check_closed("listen", self.listen)
        return self

    def check_closed(self, name: str, address: str) -> None:
        """Let an address through that strangers cannot use, the value of the setting `name`.

        Raises:
            ValueError: other machines reach it without TLS or without tokens.
        """
        if is_loopback(address) or self.allow_insecure:
            return
        if self.tls_certificate is None or self.token_public_key is None:
            raise ValueError(
                f"{name}={address} serves other machines: set tls_certificate, tls_key and "
                "token_public_key, or allow_insecure=true where the network is trusted"
            )
