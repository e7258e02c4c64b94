"""Blocks in this process's memory."""

from services.attribution.domain.block import LfiBlock, Receipt


class MemorySink:
    """An LfiSink that keeps blocks by batch id."""

    def __init__(self) -> None:
        self.blocks: dict[str, LfiBlock] = {}

    async def deliver(self, block: LfiBlock) -> Receipt:
        """Keep the block unless it is there already."""
        known = self.blocks.setdefault(block.batch.batch_id, block)
        return Receipt(duplicate=known is not block)
