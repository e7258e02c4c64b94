"""Snapshots in Parquet files, as audits read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clients.drill.scenes.planted import draw_snapshot
from clients.drill.scenes.world import draw_scenes
from services.audit.domain.rows import LabelRows


def write_rows(file: Path, rows: Sequence[Sequence[Any]], **columns: Sequence[Any]) -> Path:
    """Write lists of labels with row ids, and further columns; return the file."""
    ids = [f"row {i}" for i in range(len(rows))]
    table = pa.table({"row_id": ids, "labels": [list(row) for row in rows]} | columns)
    pq.write_table(table, file)
    return file


def write_scenes(file: Path, count: int, seed: int = 0) -> LabelRows:
    """Write the objects of drawn scenes, and return them."""
    scenes = draw_scenes(count, seed)
    write_rows(
        file,
        [
            [scenes.names[label] for label in scenes.ids[start:stop]]
            for start, stop in zip(scenes.offsets[:-1], scenes.offsets[1:], strict=True)
        ],
    )
    return scenes


def write_clicks(file: Path, rows: int, seed: int, planted: int | None = None) -> Path:
    """Write lists of ids, counted from 1, with a click or none; return the file."""
    drawn = draw_snapshot(rows, 60, seed, planted=planted)
    lists = [(np.flatnonzero(held) + 1).tolist() for held in drawn.holds]
    return write_rows(file, lists, clicked=drawn.clicked.tolist())


def write_counts(file: Path, counts: dict[tuple[str, str], int]) -> Path:
    """Write co-occurrence counts of ordered pairs; return the file."""
    table = pa.table(
        {
            "label": [pair[0] for pair in counts],
            "other": [pair[1] for pair in counts],
            "count": list(counts.values()),
        }
    )
    pq.write_table(table, file)
    return file
