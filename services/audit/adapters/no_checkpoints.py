"""Where no attribution service is."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import PartnerFailed
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import Insertion


class NoCheckpoints:
    """CheckpointTests that refuse: the audit runs without attribution."""

    async def insertions(
        self,
        wanted: InsertionParameters,
        ids: Sequence[int],  # noqa: ARG002 - the port's signature
        examples: bytes,  # noqa: ARG002
    ) -> Mapping[int, Insertion]:
        """Refuse."""
        raise _refusal(wanted.checkpoint, "insertion")

    async def saliency(
        self,
        checkpoint: str,
        wanted: SaliencyParameters,  # noqa: ARG002
        examples: bytes,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Refuse."""
        raise _refusal(checkpoint, "saliency")


def _refusal(checkpoint: str, test: str) -> PartnerFailed:
    return PartnerFailed(
        f"{checkpoint} cannot be asked: this service runs without attribution; set "
        "AFTERSHOCK_AUDIT_ATTRIBUTION_ADDRESS, or leave the tests of a checkpoint out",
        field=f"parameters.{test}",
    )
