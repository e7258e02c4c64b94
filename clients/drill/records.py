"""What a drill saw, one comparison a line, for policies to learn from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from aftershock.v1.shift_pb2 import Comparison
from clients.drill.drill import Findings

SHIFTS = 30
"""The first of a comparison that are kept: about what an incident has."""


def write_records(findings: Findings, seed: int, file: Path) -> None:
    """Write JSON Lines: a line for each run, with its culprits, and each pair of clean windows."""
    with file.open("w", encoding="utf-8") as out:
        for record in _records(findings, seed):
            out.write(json.dumps(record, separators=(",", ":")) + "\n")


def _records(findings: Findings, seed: int) -> Iterator[dict[str, Any]]:
    world = {"world": findings.subject, "seed": seed}
    for run in findings.runs:
        told = {"case": run.case, "culprits": list(run.culprits)}
        yield world | told | {"comparison": _plain(run.comparison)}
    for pair in findings.clean:
        yield world | {"case": "clean", "culprits": [], "comparison": _plain(pair.comparison)}


def _plain(comparison: Comparison) -> dict[str, Any]:
    kept = Comparison()
    kept.CopyFrom(comparison)
    del kept.shifts[SHIFTS:]
    return MessageToDict(kept, preserving_proto_field_name=True)
