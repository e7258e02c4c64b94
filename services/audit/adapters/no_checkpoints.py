"""Where no attribution service is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.errors import PartnerFailed
from services.audit.domain.parameters import SaliencyParameters
from services.audit.domain.report import Insertion


class NoCheckpoints:
    """CheckpointTests that refuse: the audit runs without attribution."""

    async def insertions(
        self,
        checkpoint: str,
        feature: str,  # noqa: ARG002 - the port's signature
        ids: Sequence[int],  # noqa: ARG002
        examples: bytes,  # noqa: ARG002
    ) -> Sequence[Insertion]:
        """Refuse."""
        raise _refusal(checkpoint)

    async def saliency(
        self,
        checkpoint: str,
        wanted: SaliencyParameters,  # noqa: ARG002
        examples: bytes,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Refuse."""
        raise _refusal(checkpoint)


def _refusal(checkpoint: str) -> PartnerFailed:
    return PartnerFailed(
        f"{checkpoint} cannot be asked: this service runs without attribution; set "
        "attribution_address, or leave the tests of a checkpoint out"
    )
