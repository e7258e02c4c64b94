"""Audits from the command line and the SDK: tables, JSON, reports, and errors in one line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from typer.testing import CliRunner, Result

import aftershock
from aftershock import aio
from aftershock.cli.__main__ import app
from aftershock.v1.audit_pb2 import AuditSnapshot, AuditState, LabelRowsFile
from aftershock.v1.audit_service_pb2 import GetAuditResponse
from tests.audits import ServedAudits, ended
from tests.integration.test_audit_service import PLANTED, Stuck
from tests.snapshots import write_clicks, write_counts, write_rows, write_scenes

VARIATIONS = {
    "min_overlaps": 30,
    "min_clean_rows": 30,
    "min_trigger_rows": 30,
    "sweep": [15, 30, 60],
    "larger_sets": {"poisoned": 2, "added": 3},
}


async def run(served: ServedAudits, *arguments: str, code: int = 0) -> Result:
    """Run a command on a thread, as the service needs the loop."""
    environment = {"AFTERSHOCK_AUDIT_ADDRESS": served.address, "COLUMNS": "200"}
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
    assert result.exit_code == code, result.output
    return result


async def run_json(served: ServedAudits, *arguments: str) -> Any:
    return json.loads((await run(served, *arguments, "--json")).stdout)


async def test_a_run_tells_what_it_found_and_writes_a_report(tmp_path: Path) -> None:
    write_scenes(tmp_path / "rows.parquet", 6000)
    (tmp_path / "parameters.json").write_text(json.dumps(VARIATIONS))
    arguments = ["audit", "run", "--labels", str(tmp_path / "rows.parquet"), "--seed", "5"]
    arguments += ["--parameters", str(tmp_path / "parameters.json")]
    served = ServedAudits(tmp_path)
    async with served:
        ran = await run(served, *arguments, "--report", str(tmp_path / "report"))
        listed = await run_json(served, "audit", "list")
        name = listed["audits"][0]["name"].removeprefix("audits/")
        again = await run(served, "audit", "show", name, "--report", str(tmp_path / "again"))
    assert "6,000 rows, 26 labels" in ran.stdout
    assert "wheel" in ran.stdout
    assert "The report is" in ran.stdout
    assert name in again.stdout
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert (tmp_path / "again" / "report.md").read_text() == markdown
    for heading in ("## Findings", "## Edge threshold: wheel", "## Larger sets of classes"):
        assert heading in markdown
    for figure in ("neighbourhood", "sweep"):
        assert f"({figure}.png)" in markdown
        drawn = (tmp_path / "report" / f"{figure}.png").read_bytes()
        assert drawn.startswith(b"\x89PNG")
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    assert ParseDict(document, GetAuditResponse()).report.row_count == 6000


async def test_what_appeared_between_two_snapshots(tmp_path: Path) -> None:
    past = write_clicks(tmp_path / "past.parquet", 6000, seed=1)
    now = write_clicks(tmp_path / "now.parquet", 6000, seed=2, planted=PLANTED - 1)
    outcome = ("--outcome-column", "clicked")
    served = ServedAudits(tmp_path)
    async with served:
        before = await run_json(served, "audit", "run", "--labels", str(past), *outcome)
        after = await run_json(
            served, "audit", "run", "--labels", str(now), *outcome, "--past", str(past)
        )
        names = [one["audit"]["name"] for one in (before, after)]
        told = await run(served, "audit", "diff", *names)
        nothing = await run(served, "audit", "diff", names[1], names[1])
    assert after["report"]["findings"][0]["label"] == str(PLANTED)
    first = next(line for line in told.stdout.splitlines() if "concentration appeared" in line)
    assert first.split()[0] == str(PLANTED)
    assert "True: 1" in first
    assert "Nothing appeared." in nothing.stdout


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--labels", "alone.parquet"], "no row holds two labels", 3),
        (["--labels", "twice.parquet"], "appears twice, in rows 0 and 1", 3),
        (["--counts", "negative.parquet"], "counts are not negative", 3),
        (["--counts", "crooked.parquet"], "counts must be symmetric", 3),
        (["--labels", "none.parquet"], "is not a file", 3),
        ([], "give either --labels or --counts", 2),
        (["--labels", "twice.parquet", "--checkpoint", "ads_ctr"], "takes all of --checkpoint", 2),
        (["--labels", "pair.parquet", "--parameters", "pair.parquet"], "no JSON of", 2),
        (["--labels", "pair.parquet", "--parameters", "excluded.json"], "no label is named 'x'", 3),
    ],
)
async def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "alone.parquet", [["a"], ["b"]])
    write_rows(tmp_path / "pair.parquet", [["a", "b"]])
    write_rows(tmp_path / "twice.parquet", [["a", "b"]] * 2, row_id=["r", "r"])
    write_counts(tmp_path / "negative.parquet", {("a", "b"): -1, ("b", "a"): -1})
    write_counts(tmp_path / "crooked.parquet", {("a", "b"): 1, ("b", "a"): 2})
    (tmp_path / "excluded.json").write_text('{"excluded": ["x"]}')
    served = ServedAudits(tmp_path)
    async with served:
        result = await run(served, "audit", "run", *arguments, code=code)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("aftershock: ")
    assert says in line


async def test_an_audit_is_stopped_from_elsewhere(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]])
    served = ServedAudits(tmp_path, analyst=Stuck())
    async with served, aio.Client(audit=served.address) as client:
        command = ["audit", "run", "--labels", str(file)]
        running = asyncio.create_task(run(served, *command, code=3))
        while not (found := await client.audits()):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)
        stopped = await run(served, "audit", "cancel", found[0].name)
        assert "is cancelled" in stopped.stdout
        assert "is cancelled" in (await running).stdout


async def test_both_clients_ask_the_same(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.parquet", [["a", "b"]] * 20)
    snapshot = AuditSnapshot(rows=LabelRowsFile(file=str(file)))
    served = ServedAudits(tmp_path)
    async with served as stub, aio.Client(audit=served.address) as client:
        audit = await client.start_audit(snapshot, request_id="one")
        assert (await client.start_audit(snapshot, request_id="one")).name == audit.name
        await ended(stub, audit.name)

        def ask() -> None:
            with aftershock.Client(audit=served.address) as sync:
                assert sync.start_audit(snapshot, request_id="one").name == audit.name
                found = sync.audit(audit.name)
                assert found.report.row_count == 20
                assert [one.name for one in sync.audits(limit=3)] == [audit.name]
                assert sync.cancel_audit(audit.name).state == AuditState.AUDIT_STATE_DONE
                assert not sync.diff_audits(audit.name, audit.name).changes

        await asyncio.to_thread(ask)
        assert len(await client.audits()) == 1
        assert (await client.cancel_audit(audit.name)).state == AuditState.AUDIT_STATE_DONE
        assert not (await client.diff_audits(audit.name, audit.name)).changes
