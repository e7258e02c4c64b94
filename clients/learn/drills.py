"""Trials from the records of drills: see `clients/drill/records.py`."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from aftershock.v1.shift_pb2 import Comparison
from clients.learn.trial import CannotLearn, Trial, case_from
from services.runbook.adapters.grpc_evidence_messages import comparison_from


def read_drills(files: Iterable[Path]) -> Sequence[Trial]:
    """Return one trial a line. Raises CannotLearn with file and line of what is no record."""
    return [
        _trial(file, number, line)
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    ]


def _trial(file: Path, number: int, line: str) -> Trial:
    try:
        record: dict[str, Any] = json.loads(line)
        message = ParseDict(record["comparison"], Comparison())
        for window in (message.control, message.anomaly):
            # Broken windows have no outcomes in a drill; what is not known is 0.
            window.calibration.SetInParent()
        comparison = comparison_from(message)
        culprits, seed = frozenset(map(str, record["culprits"])), int(record["seed"])
        case = case_from(f"models/{record['world']}", comparison)
    except (KeyError, TypeError, ValueError, ParseError) as error:
        raise CannotLearn(
            f"{file}:{number}: no record of a drill ({error}): write one with "
            "'aftershock drill --records FILE'"
        ) from error
    listed = {shift.feature for shift in comparison.shifts}
    return Trial(
        name=f"{file}:{number}",
        case=case,
        broken={feature: feature in culprits for feature in listed | culprits},
        seed=seed,
    )
