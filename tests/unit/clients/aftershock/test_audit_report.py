"""A report as a folder: every part of it told and drawn, whatever labels are called."""

import json
import struct
import sys
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status

from aftershock.cli._audit_report import write_report
from aftershock.v1 import audit_pb2 as pb
from aftershock.v1.audit_service_pb2 import GetAuditResponse

ODD = "a|b $x$\nc<img src=x>\x1b[2J"
TOLD = "a\\|b $x$ c&lt;img src=x>\ufffd[2J"
CELLS = 6


def found() -> GetAuditResponse:
    """Return an audit that looked for everything."""
    lean = pb.LabelConcentration(
        outcome="click", row_count=90, share=0.6, expected_share=0.1, z=9.0, significant=True
    )
    finding = pb.AuditFinding(
        label=ODD,
        classes=[pb.PoisonableClass(label="c1", trigger_rows=60, usable=True)],
        concentration=lean,
        insertion=pb.InsertionResult(example_count=10, flipped_up=4, flipped_down=1),
        exposure=0.5,
        evidence=0.7,
        severity=0.35,
    )
    overlay = pb.SaliencyOverlay(
        height=2,
        width=3,
        map=struct.pack(f"<{CELLS}f", *range(CELLS)),
        mask=bytes([0, 0, 1, 0, 0, 1]),
    )
    figures = pb.SaliencyFigures(any_overlap=0.9, pointing=0.8)
    report = pb.AuditReport(
        row_count=100,
        label_count=3,
        findings=[finding, pb.AuditFinding(label="quiet")],
        overlaps=[pb.FindingOverlap(label=ODD, other="quiet", classes=["c1", "c2"])],
        sweeps=[pb.LabelSweep(label=ODD, points=[pb.SweepPoint(min_overlaps=15, class_count=4)])],
        larger_sets=[pb.LargerClassSet(label=ODD, poisoned=["c1"], added=["c3"], row_count=7)],
        neighbourhood=[pb.CooccurrenceEdge(label=ODD, other="quiet", rows=60)],
        neighbourhood_label=ODD,
        saliency=pb.SaliencyReport(
            example_count=4, figures=figures, clean=figures, overlays=[overlay]
        ),
        thresholds=pb.ThresholdReport(
            points=[pb.ThresholdPoint(threshold=0.5, false_positives=3, false_negatives=4)],
            chosen=0.5,
        ),
        notes=["a measure is left out"],
        missing_tests=[
            pb.MissingTest(
                test=pb.CHECKPOINT_TEST_INSERTION, checkpoint="models/m", reason="it is\naway"
            )
        ],
    )
    return GetAuditResponse(
        audit=pb.Audit(name="audits/A-1", state=pb.AUDIT_STATE_DONE, error=Status()), report=report
    )


def test_everything_is_told_and_drawn(tmp_path: Path) -> None:
    drawn = write_report(found(), tmp_path)
    assert [file.name for file in drawn] == [
        "neighbourhood.png",
        "sweep.png",
        "saliency.png",
        "thresholds.png",
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)
    markdown = (tmp_path / "report.md").read_text()
    row = next(line for line in markdown.splitlines() if line.startswith(f"| {TOLD} | 0.35"))
    assert row == (
        f"| {TOLD} | 0.35 | 0.7 | 0.5 | 1 of 1 | click: 10 % -> 60 % (z 9.0) | 40 % | - |"
    )
    assert f"## Edge threshold: {TOLD}\n" in markdown
    assert "| quiet | - | - | 0 | 0 of 0 | - | - | - |" in markdown
    assert "| clean checkpoint | 90 % | 0 % | 80 % | 0 % |" in markdown
    assert "0.5: 3 labels that a person did not give, 4 missing." in markdown
    assert "- a measure is left out" in markdown
    assert "## Tests without a result\n\n- the insertion test of models/m: it is away" in markdown
    kept = json.loads((tmp_path / "report.json").read_text())
    assert ParseDict(kept, GetAuditResponse()) == found()


def test_without_matplotlib_there_are_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "aftershock.cli._audit_figures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert write_report(found(), tmp_path) == ()
    assert "pip install 'aftershock[figures]'" in (tmp_path / "report.md").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.json", "report.md"]
