"""What can be set from the environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings
from services.runbook.adapters.standard_webhook import secret_bytes
from services.runbook.domain.plan import MitigationKind

_POLICIES = Path(__file__).parents[2] / "deploy" / "policies" / "threshold.yaml"


class RunbookSettings(ServiceSettings):
    """Settings, from the environment with the prefix AFTERSHOCK_RUNBOOK_."""

    model_config = SettingsConfigDict(env_prefix="AFTERSHOCK_RUNBOOK_", extra="forbid")

    database_url: str = "sqlite:///.aftershock/runbook.sqlite"
    """`sqlite:///path` or `postgresql://user:password@host/database`."""
    aggregator_address: str
    """Whose shifts are followed, `host:port`."""
    attribution_address: str | None = None
    """Who previews mitigations, `host:port`. None: proposals come without a preview."""
    policies: Path = _POLICIES
    """A YAML file, or a folder of them."""
    approval_minutes: float = Field(default=30.0, gt=0)
    """How long a proposal waits for an answer."""
    finding_seconds: float = Field(default=10.0, gt=0)
    """Between two looks at what audits found, where a policy file says that they open incidents."""
    dry_run: bool = False
    """Pretend to act. The flags that were set before stay as they are."""
    lease_seconds: float = Field(default=30.0, ge=2.0)
    """After which another worker takes up what one has not finished."""
    mlflow_url: str | None = None
    """Registry that rollbacks go by; its alias is moved. None: nothing is rolled back."""
    mlflow_alias: str = Field(default="champion", min_length=1)
    """That model servers follow. A registered model has our model's id for a name."""
    mlflow_token: SecretStr | None = None
    """Sent as a bearer token."""
    webhook_url: str | None = None
    """Receiver that carries out the kinds of mitigation in `webhook_kinds`, in place of flags and
    the registry's alias."""
    webhook_secret: SecretStr | None = None
    """`whsec_` and base64, shared with the receiver."""
    webhook_kinds: frozenset[MitigationKind] = frozenset()
    """Any of KILL_SWITCH, CHECKPOINT_ROLLBACK, ID_MASK, ROW_QUARANTINE and ROW_REBALANCE. The last
    two are carried out by the receiver or by nobody."""
    webhook_calls: bool = False
    """Send whom policies and escalations call to the webhook's receiver."""
    audit_anchor_file: Path | None = None
    """Where the audit's newest hash is appended, on a disk that the database's owner cannot change.
    None: anchors last as long as this process."""
    audit_anchor_webhook: bool = False
    """Send each anchor to the webhook's receiver, too."""
    audit_anchor_seconds: float = Field(default=60.0, gt=0)
    """Between two anchors: what is changed later than the next one is noticed."""
    most_attempts: int = Field(default=8, ge=1)
    """Of an action, before it is undone or given to a person."""

    @model_validator(mode="after")
    def _webhook_is_whole(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise ValueError("webhook_url and webhook_secret go together")
        used = self.webhook_kinds or self.webhook_calls or self.audit_anchor_webhook
        if used and self.webhook_url is None:
            raise ValueError(
                "webhook_kinds, webhook_calls and audit_anchor_webhook need webhook_url"
            )
        if self.webhook_secret is not None:
            secret_bytes(self.webhook_secret.get_secret_value())
        return self
