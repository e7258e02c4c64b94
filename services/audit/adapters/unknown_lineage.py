"""Where no lineage is kept."""

from collections.abc import Sequence

from services.audit.domain.audit import Audit
from services.audit.domain.report import Finding


class UnknownLineage:
    """A Lineage that knows nothing and records nothing."""

    async def model_count(self, node: str) -> int | None:  # noqa: ARG002 - the port's signature
        """Say that it is not known."""
        return None

    async def record(
        self,
        audit: Audit,  # noqa: ARG002
        findings: Sequence[Finding],  # noqa: ARG002
        model_count: int | None,  # noqa: ARG002
    ) -> bool:
        """Say that nothing was recorded."""
        return False
