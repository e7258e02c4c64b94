"""What a drill found is counted as the paper counts it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.text_format import Parse

from aftershock.v1.shift_pb2 import Comparison
from clients.drill.drill import CleanPair, Findings, Magnitudes, Run
from clients.drill.figures import save_report_figures
from clients.drill.report import Report
from clients.drill.scores import ranked, scores_of
from clients.drill.tables import show_report

NAMES = [f"f{i}" for i in range(10)]


def run(case: str, culprits: tuple[str, ...], change: float, first: str, flags: str = "") -> Run:
    """A run in which `first` names the suspects of the one method, best first."""
    scores = {name: float(len(first.split()) - i) for i, name in enumerate(first.split())}
    return Run(
        case=case,
        title=f"title of {case}",
        window=1,
        pick=0,
        culprits=culprits,
        prediction_change=change,
        verdict="FEATURE_CORRUPTION",
        significant=frozenset(flags.split()),
        gfi=dict.fromkeys(NAMES, (0.1, 0.2)),
        scores={"m": {name: scores.get(name, 0.0) for name in NAMES}},
        comparison=Comparison(),
    )


FINDINGS = Findings(
    subject="mine",
    features=10,
    control="earlier window",
    rows=100,
    importances={name: float(i) for i, name in enumerate(NAMES)},
    magnitudes=Magnitudes("f9", {"equation 1": np.array([0.1, 0.4]), "equation 2": np.ones(0)}),
    runs=[
        run("1", ("f9",), 0.02, "f9 f1", flags="f9 f3"),
        run("1", ("f8",), -0.001, "f1 f2 f3 f8"),
        run("4", ("f0", "f7"), 0.5, "f7 f1 f2", flags="f1"),
    ],
    clean=[
        CleanPair(1, frozenset({"f2"}), {"m": {"f1": 2.0, "f2": 1.0}}, Comparison()),
        CleanPair(2, frozenset(), {"m": {"f1": 0.5, "f2": 0.0}}, Comparison()),
    ],
    left_out=["case 3: there is no category"],
)
REPORT = Report(FINDINGS, top=2)


def test_cases_are_averaged_over_their_runs() -> None:
    first, fourth = REPORT.cases
    assert (first.case, first.runs, first.culprits) == ("1", 2, 1.0)
    assert first.prediction_change == pytest.approx(0.0105)
    assert first.found == {"m": 0.5}
    assert (fourth.culprits, fourth.found) == (2.0, {"m": 1.0})


def test_recall_counts_features_and_runs() -> None:
    recall = REPORT.recalls["m"]
    assert recall.recall == 2 / 4
    assert recall.at_least_one == 2 / 3
    assert recall.at_least_one_visible == 1.0
    assert recall.above_median == 2 / 3
    assert recall.below_median == 0.0


def test_flags() -> None:
    assert REPORT.flags_per_clean_window == 0.5
    assert REPORT.detection == 1 / 3


def test_the_trade_off_rises_to_everything_flagged() -> None:
    points = REPORT.trade_off("m")
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    # The best scores of the broken features are 2, 1 and 3, those of clean ones 2, 1 and 0.5.
    assert points[0] == (0.0, 1 / 3)
    assert points[-1] == (1.5, 1.0)


def test_a_score_of_nothing_is_no_suspicion() -> None:
    assert ranked({"a": 0.0, "b": 1.0, "c": 1.0, "d": 3.0}) == ["d", "b", "c"]


def test_json_has_the_same_numbers_and_no_nan() -> None:
    document = json.loads(json.dumps(REPORT.to_json(), allow_nan=False))
    assert document["methods"]["m"]["recall"] == 0.5
    assert document["cases"][0]["found_in_top_k"] == {"m": 0.5}
    assert document["k"] == 2
    visible = Findings(**{**vars(FINDINGS), "runs": [FINDINGS.runs[1]]})
    silent = Report(visible, 2)
    assert math.isnan(silent.recalls["m"].at_least_one_visible)
    assert silent.to_json()["methods"]["m"]["at_least_one_visible"] is None


def test_k_is_three_in_a_hundred_and_at_least_three() -> None:
    assert FINDINGS.default_top == 3
    assert Findings(**{**vars(FINDINGS), "features": 1001}).default_top == 31


def test_tables_and_figures_are_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    show_report(REPORT)
    out = capsys.readouterr().out
    assert "title of 4" in out
    assert "left out: case 3" in out
    assert "0.67" in out
    paths = save_report_figures(REPORT, tmp_path / "figures")
    names = ["figure-1.png", "figure-2.png", "recall.png", "false_alarms.png"]
    assert [path.name for path in paths] == names
    before = [path.read_bytes() for path in paths]
    assert all(content.startswith(b"\x89PNG") for content in before)
    assert before == [p.read_bytes() for p in save_report_figures(REPORT, tmp_path / "figures")]


def test_the_table_by_case_has_room_for_its_methods(capsys: pytest.CaptureFixture[str]) -> None:
    def twice(one: Any) -> Any:
        return replace(one, scores={"m": one.scores["m"], "m / history": one.scores["m"]})

    runs, clean = map(twice, FINDINGS.runs), map(twice, FINDINGS.clean)
    show_report(Report(replace(FINDINGS, runs=[*runs], clean=[*clean]), top=2))
    by_case, by_method = capsys.readouterr().out.split("Recall by method")
    assert "m / history" not in by_case
    assert "m / history" in by_method


def test_methods_are_those_that_the_aggregator_knows() -> None:
    text = 'shifts {feature: "a" shift: -0.5 z: -3} shifts {feature: "b" shift: 0.1 z: 4}'
    old = scores_of(Parse(text, Comparison()))
    assert old == {"GFI shift": {"a": 0.5, "b": 0.1}, "GFI shift / history": {"a": 3, "b": 4}}
    text = (
        "rank_by: RANK_BY_EVIDENCE "
        'shifts {feature: "a" score: 2 '
        "evidence {signal: SIGNAL_MFC_SHIFT change: 0.2 strength: 7}} "
        'shifts {feature: "b" score: 1}'
    )
    new = scores_of(Parse(text, Comparison()))
    assert new["evidence"] == {"a": 2, "b": 1}
    assert new["MFC shift"] == {"a": 0.2, "b": 0}
    assert new["MFC shift / history"] == {"a": 7, "b": 0}
    assert "value distance" not in new
