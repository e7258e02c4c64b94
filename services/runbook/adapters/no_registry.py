"""For a runbook without a model registry."""

from services.runbook.domain.errors import RegistryUnavailable
from services.runbook.domain.rollback import Registered


class NoRegistry:
    """Says that there is none."""

    async def registered(self, model: str) -> Registered:  # noqa: ARG002 - the port's signature
        """Raise RegistryUnavailable."""
        raise RegistryUnavailable("no model registry is configured")
