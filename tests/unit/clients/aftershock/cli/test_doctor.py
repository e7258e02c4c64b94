"""The doctor says, in one screen, what is broken and what to do."""

import pytest

from tests.unit.clients.aftershock.cli.running import run, run_json
from tests.unit.clients.aftershock.conftest import Platform
from tests.unit.clients.aftershock.incidents import (
    summary,
    window,
)


def test_the_doctor_finds_a_working_platform(platform: Platform) -> None:
    output = run("doctor").stdout
    assert "models/ads_ctr" not in output
    for finding in (
        f"answers at {platform.address} (plaintext)",
        "ads_ctr/checkpoints/2026-11-19 loaded",
        "12 batches stored, 0 refused; latest event 2026-11-20 02:59 UTC",
        "20261120T030000Z (closed): 2,000 considered, 500 displayed",
        "20261120T030000Z is closed without outcomes",
    ):
        assert finding in output
    report = run_json("doctor", "--model", "ads_ctr")
    assert report["healthy"]
    assert {check["health"] for check in report["checks"]} == {"ok", "warning"}


def test_the_doctor_says_what_is_broken(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.aggregator.models, platform.aggregator.windows = [], []
    output = run("doctor", code=1).stdout
    assert "no examples arrived" in output
    assert "Client(model='ads_ctr').examples()" in output
    platform.attribution.checkpoints = []
    assert "aftershock load" in run("doctor", code=1).stdout
    monkeypatch.setenv("AFTERSHOCK_DISABLED", "1")
    assert "AFTERSHOCK_DISABLED is set" in run("doctor", code=1).stdout


def test_the_doctor_outlives_services_that_do_not(platform: Platform) -> None:
    report = run_json("--runbook", "127.0.0.1:1", "doctor", code=1)
    assert not report["healthy"]
    health = {check["subject"]: check["health"] for check in report["checks"]}
    assert health["runbook"] == "broken"
    assert health["aggregator"] == health["attribution"] == "ok"
    assert run_json("--address", "127.0.0.1:1", "--timeout", "0.5", "doctor", code=1)


def test_the_doctor_points_at_half_of_the_weight(platform: Platform) -> None:
    lopsided = window(2, 1.0)
    lopsided.displayed_count = 0
    platform.aggregator.windows = [lopsided]
    model = summary()
    model.refused_block_count = 3
    platform.aggregator.models = [model]
    output = run("doctor").stdout
    assert "send both" in output
    assert "3 refused" in output


def test_the_doctor_knows_a_model_that_is_not_there_from_one_that_is_not_loaded(
    platform: Platform,
) -> None:
    output = run("doctor", "--model", "ads_crt", code=1).stdout
    assert "none of ads_crt is loaded, but ads_ctr/checkpoints/2026-11-19" in output
    assert "look at the model's name again" in output
    platform.attribution.checkpoints = []
    output = run("doctor", "--model", "ads_crt", code=1).stdout
    assert "none is loaded" in output
    assert "name again" not in output
