"""Columns of datasets in this process's memory, for tests and dry runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.schema import DatedSchema


@dataclass(frozen=True)
class MemorySchemas:
    """Implements SchemaStore, without a retention."""

    kept: dict[NodeId, DatedSchema] = field(default_factory=dict)

    async def latest(self, datasets: Collection[NodeId]) -> Mapping[NodeId, DatedSchema]:
        """Return what is known of them."""
        return {dataset: self.kept[dataset] for dataset in datasets if dataset in self.kept}

    async def keep(self, schemas: Mapping[NodeId, DatedSchema]) -> None:
        """Keep the columns of each dataset, unless later ones of it are kept."""
        for dataset, schema in schemas.items():
            known = self.kept.get(dataset)
            if known is None or known.time <= schema.time:
                self.kept[dataset] = schema
