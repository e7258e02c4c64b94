"""The audit of 50,000 images that people labelled, from Parquet to findings."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.audit.adapters.parquet_snapshots import ParquetSnapshots
from services.audit.analyse import Analyse
from services.audit.domain.audit import Audit
from services.audit.domain.parameters import (
    AuditParameters,
    IndependentSetMethod,
    LabelRowsFile,
    SubsetParameters,
    Usability,
)
from services.audit.engine.graph import CooccurrenceGraph
from tests import imagenet_real
from tests.snapshots import write_rows

FEW = Usability(min_classes=5, min_clean_rows=5, min_trigger_rows=2)


def audit(file: Path, min_overlaps: int) -> Audit:
    subset = SubsetParameters(
        min_trigger_overlaps=min_overlaps, method=IndependentSetMethod.EXACT, usability=FEW
    )
    parameters = AuditParameters(min_overlaps=min_overlaps, top=20, subset=subset)
    return Audit("audits/1", LabelRowsFile(str(file)), parameters, 0, datetime.now(UTC))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = imagenet_real.rows()
    parts = np.split(rows.ids, rows.offsets[1:-1])
    lists = [[rows.names[label] for label in part] for part in parts]
    return write_rows(tmp_path_factory.mktemp("imagenet") / "rows.parquet", lists)


@cache
def by_going_through() -> NDArray[np.int64]:
    """Return the co-occurrences [1000, 1000], row by row."""
    rows = imagenet_real.rows()
    counts = np.zeros((1000, 1000), np.int64)
    for part in np.split(rows.ids, rows.offsets[1:-1]):
        for label in part:
            counts[label, part] += 1
    np.fill_diagonal(counts, 0)
    return counts


def test_counts_are_those_of_going_through_the_rows() -> None:
    rows = imagenet_real.rows()
    assert (rows.row_count, len(rows.names)) == (50_000, 1000)
    counts = CooccurrenceGraph.from_rows(rows, 2).counts
    assert np.array_equal(counts.toarray(), by_going_through())


@pytest.mark.parametrize("min_overlaps", [2, 3])
def test_what_goes_with_everything_is_found(file: Path, min_overlaps: int) -> None:
    report = Analyse(ParquetSnapshots([file.parent]))(
        audit(file, min_overlaps), lambda share, stage: None
    )
    assert report.row_count == 50_000
    assert report.edge_count == np.count_nonzero(np.triu(by_going_through() >= min_overlaps))
    usable = {finding.label.rpartition(" ")[0] for finding in report.findings if finding.is_usable}
    assert {"plate", "sunglass", "sunglasses", "jean", "pole"} <= usable
    names = imagenet_real.rows().names
    for finding in report.findings:
        classes = [names.index(found.label) for found in finding.classes]
        assert by_going_through()[np.ix_(classes, classes)].max(initial=0) < min_overlaps
