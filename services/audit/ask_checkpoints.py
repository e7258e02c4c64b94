"""Asks checkpoints what they make of the findings: insertion test and saliency."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.audit import Audit
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import (
    AuditReport,
    Finding,
    Overlay,
    PointingFigures,
    SaliencyReport,
)
from services.audit.domain.severity import worst_first
from services.audit.engine.saliency import saliency_figures
from services.audit.ports import CheckpointTests, SnapshotSource

_OVERLAYS = 4


@dataclass(frozen=True)
class AskCheckpoints:
    """Adds what checkpoints say to a report, as far as the audit's parameters ask for it."""

    source: SnapshotSource
    tests: CheckpointTests

    async def __call__(self, audit: Audit, report: AuditReport) -> AuditReport:
        """Return the report with insertions and saliency.

        Raises:
            AuditError: examples are missing, or attribution refuses them.
        """
        parameters = audit.parameters
        if parameters.insertion is not None:
            report = await self._inserted(report, parameters.insertion)
        if parameters.saliency is not None:
            saliency = await self._saliency(parameters.saliency, audit.seed)
            report = replace(report, saliency=saliency)
        return report

    async def _inserted(self, report: AuditReport, wanted: InsertionParameters) -> AuditReport:
        ids = _ids(worst_first(report.findings)[: wanted.label_count])
        if not ids:
            note = "no finding is an id: the insertion test was left out"
            return replace(report, notes=(*report.notes, note))
        examples = await asyncio.to_thread(
            self.source.examples, wanted.examples_file, wanted.example_count
        )
        answers = await self.tests.insertions(
            wanted.checkpoint, wanted.feature, list(ids.values()), examples
        )
        found = dict(zip(ids, answers, strict=True))
        findings = [
            replace(finding, insertion=found.get(finding.label)) for finding in report.findings
        ]
        return replace(report, findings=tuple(findings))

    async def _saliency(self, wanted: SaliencyParameters, seed: int) -> SaliencyReport:
        examples = await asyncio.to_thread(
            self.source.examples, wanted.examples_file, wanted.example_count, [wanted.mask_column]
        )
        shape = (wanted.example_count, wanted.height, wanted.width)
        masks = await asyncio.to_thread(
            self.source.masks, wanted.examples_file, wanted.mask_column, shape
        )

        async def maps_of(checkpoint: str) -> NDArray[np.float32]:
            return await self.tests.saliency(checkpoint, wanted, examples)

        maps = await maps_of(wanted.checkpoint)
        clean = await maps_of(wanted.clean_checkpoint) if wanted.clean_checkpoint else None
        return SaliencyReport(
            example_count=len(maps),
            figures=_figures(maps, masks, seed),
            clean=None if clean is None else _figures(clean, masks, seed),
            overlays=tuple(_overlay(row, maps, masks) for row in range(min(_OVERLAYS, len(maps)))),
        )


def _ids(findings: Sequence[Finding]) -> dict[str, int]:
    """Return the labels that are ids of a list as numbers; 0 is what lists are padded with."""
    return {
        finding.label: int(finding.label)
        for finding in findings
        if finding.label.removeprefix("-").isdecimal() and int(finding.label)
    }


def _figures(maps: NDArray[np.float32], masks: NDArray[np.bool_], seed: int) -> PointingFigures:
    found = saliency_figures(maps, masks, seed)
    return PointingFigures(
        found.any_overlap, found.any_overlap_elsewhere, found.pointing, found.pointing_elsewhere
    )


def _overlay(row: int, maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Overlay:
    height, width = maps.shape[1:]
    return Overlay(
        row=row,
        height=height,
        width=width,
        map=tuple(np.maximum(maps[row], 0.0).ravel().tolist()),
        mask=tuple(masks[row].ravel().tolist()),
    )
