"""Where no lineage is kept."""

from services.audit.domain.audit import Audit
from services.audit.domain.news import AuditNews


class UnknownLineage:
    """A Lineage that knows nothing and records nothing."""

    async def model_count(self, node: str) -> int | None:  # noqa: ARG002 - the port's signature
        """Say that it is not known."""
        return None

    async def record(self, audit: Audit, news: AuditNews) -> bool:  # noqa: ARG002 - likewise
        """Say that nothing was recorded."""
        return False
