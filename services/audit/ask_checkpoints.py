"""Asks checkpoints what they make of the findings: insertion test and saliency."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.audit.domain.audit import Audit
from services.audit.domain.errors import AuditError, InvalidParameters
from services.audit.domain.parameters import InsertionParameters, SaliencyParameters
from services.audit.domain.report import (
    AuditReport,
    CheckpointTest,
    Finding,
    Insertion,
    MissingTest,
    Overlay,
    PointingFigures,
    SaliencyReport,
)
from services.audit.domain.severity import worst_first
from services.audit.engine.saliency import saliency_figures
from services.audit.ports import CheckpointTests, SnapshotSource

_log = logging.getLogger(__name__)
_OVERLAYS = 4
_AN_ID = re.compile(r"-?[1-9][0-9]{0,18}")
_LARGEST_ID = 2**63 - 1
_NO_ID = 0
"""What lists are padded with."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class AskCheckpoints:
    """Adds what checkpoints say to a report, as far as the audit's parameters ask for it."""

    source: SnapshotSource
    tests: CheckpointTests

    async def __call__(self, audit: Audit, report: AuditReport) -> AuditReport:
        """Return the report with insertions and saliency, or with why they are missing."""
        parameters = audit.parameters
        if parameters.insertion is not None:
            report = await self._with_insertions(report, parameters.insertion)
        if parameters.saliency is not None:
            report = await self._with_saliency(report, parameters.saliency, audit.seed)
        return report

    async def _with_insertions(
        self, report: AuditReport, wanted: InsertionParameters
    ) -> AuditReport:
        ids = _ids(worst_first(report.findings)[: wanted.label_count])
        answer = await _tried(
            CheckpointTest.INSERTION, wanted.checkpoint, self._insertions(wanted, ids)
        )
        if isinstance(answer, MissingTest):
            return _without(report, answer)
        findings = [
            replace(finding, insertion=answer.get(ids.get(finding.label, _NO_ID)))
            for finding in report.findings
        ]
        notes = report.notes
        if left_out := len(ids) - len(answer):
            what = f"{left_out} labels are no ids that feature {wanted.feature!r} can hold"
            notes = (*notes, f"{what}: they were not inserted")
        return replace(report, findings=tuple(findings), notes=notes)

    async def _insertions(
        self, wanted: InsertionParameters, ids: Mapping[str, int]
    ) -> Mapping[int, Insertion]:
        if not ids:
            raise InvalidParameters(
                f"none of the first {wanted.label_count} findings is an id: labels must be the ids "
                f"of feature {wanted.feature!r}, as integers"
            )
        examples = await asyncio.to_thread(
            self.source.examples, wanted.examples_file, wanted.example_count
        )
        answer = await self.tests.insertions(wanted, list(ids.values()), examples)
        if not answer:
            raise InvalidParameters(
                f"feature {wanted.feature!r} can hold none of the findings' ids, such as "
                f"{next(iter(ids))}: is it the feature that the labels come from?"
            )
        return answer

    async def _with_saliency(
        self, report: AuditReport, wanted: SaliencyParameters, seed: int
    ) -> AuditReport:
        looked = await _tried(
            CheckpointTest.SALIENCY, wanted.checkpoint, self._saliency(wanted, seed)
        )
        if isinstance(looked, MissingTest):
            return _without(report, looked)
        if wanted.clean_checkpoint is None:
            return replace(report, saliency=looked)
        clean = await _tried(
            CheckpointTest.CLEAN_SALIENCY,
            wanted.clean_checkpoint,
            self._clean_figures(wanted.clean_checkpoint, wanted, seed),
        )
        if isinstance(clean, MissingTest):
            return _without(replace(report, saliency=looked), clean)
        return replace(report, saliency=replace(looked, clean=clean))

    async def _saliency(self, wanted: SaliencyParameters, seed: int) -> SaliencyReport:
        maps, masks = await self._maps(wanted.checkpoint, wanted)
        return SaliencyReport(
            example_count=len(maps),
            figures=_figures(maps, masks, seed),
            clean=None,
            overlays=tuple(_overlay(row, maps, masks) for row in range(min(_OVERLAYS, len(maps)))),
        )

    async def _clean_figures(
        self, checkpoint: str, wanted: SaliencyParameters, seed: int
    ) -> PointingFigures:
        return _figures(*await self._maps(checkpoint, wanted), seed)

    async def _maps(
        self, checkpoint: str, wanted: SaliencyParameters
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the maps of a checkpoint, and the masks of the same examples."""
        file, shape = wanted.examples_file, (wanted.example_count, wanted.height, wanted.width)
        masks = await asyncio.to_thread(self.source.masks, file, wanted.mask_column, shape)
        examples = await asyncio.to_thread(
            self.source.examples, file, wanted.example_count, [wanted.mask_column]
        )
        maps = await self.tests.saliency(checkpoint, wanted, examples)
        if not np.isfinite(maps).all():
            raise InvalidParameters(
                f"the maps of {checkpoint} hold NaN or infinity: its gradient has none that is "
                f"finite at {wanted.layer}; look at another layer"
            )
        return maps, masks


async def _tried(
    test: CheckpointTest, checkpoint: str, answer: Awaitable[_Answer]
) -> _Answer | MissingTest:
    """Return the answer, or why there is none: a report is worth having without."""
    try:
        return await answer
    except AuditError as error:
        return MissingTest(test, checkpoint, str(error))
    except Exception:
        _log.exception("unexpected error in a test of a checkpoint", extra={"test": test.name})
        return MissingTest(test, checkpoint, "internal error; the service's log has the details")


def _without(report: AuditReport, missing: MissingTest) -> AuditReport:
    return replace(report, missing_tests=(*report.missing_tests, missing))


def _ids(findings: Sequence[Finding]) -> dict[str, int]:
    """Return the labels that are ids of a list, as numbers; 0 is what lists are padded with."""
    return {
        finding.label: int(finding.label)
        for finding in findings
        if _AN_ID.fullmatch(finding.label) and abs(int(finding.label)) <= _LARGEST_ID
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
