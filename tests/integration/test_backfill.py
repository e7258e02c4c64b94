"""`aftershock backfill` against the real platform: killed, started again, run twice."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import aftershock
from aftershock.v1.example_pb2 import FeatureKind
from aftershock.v1.window_pb2 import Window, WindowState
from deploy.local import Platform
from services.chassis.tokens import Role
from tests.checkpoints import (
    GROUPED,
    TRAINED_UNTIL,
    Manifest,
    arrow_table,
    random_examples,
    small_checkpoint,
)

HOURS = 12
ROWS = 6_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    root = tmp_path_factory.mktemp("checkpoints")
    models = ("whole", "killed", "plain")
    folders = [
        small_checkpoint(root / m, manifest=Manifest(model=m), schema=GROUPED) for m in models
    ]
    with Platform(tmp_path_factory.mktemp("platform"), checkpoints=folders) as running:
        yield running


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours that the checkpoint has seen, then twelve; rows nearly in the order of time."""
    rng = np.random.default_rng(1)
    seconds = np.sort(rng.uniform(0, (HOURS + 2) * 3600, ROWS)) + rng.normal(0, 200, ROWS)
    seconds = seconds.clip(0, (HOURS + 2) * 3600 - 1) - 2 * 3600
    times = [TRAINED_UNTIL + timedelta(seconds=float(s)) for s in seconds]
    table = arrow_table(random_examples(count=ROWS))
    table = table.append_column("event_time", pa.array(times, pa.timestamp("us", "UTC")))
    table = table.append_column("shown", pa.array(rng.choice(["considered", "displayed"], ROWS)))
    table = table.append_column("score", pa.array(np.full(ROWS, 0.25)))
    table = table.append_column("clicked", pa.array(rng.random(ROWS) < 0.25))
    path = tmp_path_factory.mktemp("history") / "examples.parquet"
    pq.write_table(table, path, row_group_size=500)
    return path


def command(file: Path, model: str, *arguments: str) -> list[str]:
    columns = ["--population-column", "shown", "--prediction-column", "score"]
    rest = [*columns, "--label-column", "clicked", "--json", *arguments]
    return [sys.executable, "-m", "aftershock.cli", "backfill", str(file), "--model", model, *rest]


def environment_of(platform: Platform) -> dict[str, str]:
    return os.environ | platform.environment(platform.token("ann", Role.ADMIN))


def run(platform: Platform, file: Path, model: str, *arguments: str) -> Any:
    environment = environment_of(platform)
    return subprocess.run(
        command(file, model, *arguments),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def client_of(platform: Platform, model: str) -> aftershock.Client:
    at = platform.addresses
    return aftershock.Client(
        attribution=at.attribution,
        aggregator=at.aggregator,
        token=platform.token("ann", Role.ADMIN),
        model=model,
    )


def windows(client: aftershock.Client) -> dict[str, Window]:
    return {w.name.rpartition("/")[2]: w for w in client.windows()}


def facts(found: dict[str, Window]) -> dict[str, tuple[Any, ...]]:
    return {
        name: (w.considered_count, w.displayed_count, w.calibration.observed)
        for name, w in found.items()
    }


def test_a_killed_backfill_goes_on_and_counts_nothing_twice(platform: Platform, file: Path) -> None:
    done = run(platform, file, "whole")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["windows"] == {"sent": HOURS, "before the checkpoint's trained_until": 2}
    with client_of(platform, "whole") as whole, client_of(platform, "killed") as killed:
        expected = facts(windows(whole))
        assert sum(c + d for c, d, _ in expected.values()) == report["examples"]["accepted"]
        assert len(expected) == HOURS
        # Reported outcomes let event time pass the last window, too.
        deadline = time.monotonic() + 20
        while (
            any(w.state != WindowState.WINDOW_STATE_CLOSED for w in whole.windows())
            and time.monotonic() < deadline
        ):
            time.sleep(0.1)
        assert {w.state for w in whole.windows()} == {2}

        environment = environment_of(platform)
        with subprocess.Popen(command(file, "killed"), env=environment) as process:
            while not (found := _known(killed)) or len(found) < 3:
                assert process.poll() is None, "it ended before it could be killed"
            process.kill()
        assert len(_known(killed)) < HOURS
        again = run(platform, file, "killed")
        assert again.returncode == 0, again.stderr
        assert facts(windows(killed)) == expected
        assert json.loads(again.stdout)["windows"]["done before"] >= 1


def test_a_group_is_measured_and_its_members_are_not(platform: Platform, file: Path) -> None:
    assert run(platform, file, "whole").returncode == 0
    with client_of(platform, "whole") as client:
        name = min(w.name for w in client.windows())
        importances = {f.feature: f for f in client.gfi(name)}
        profile = client.profile(name, "user_profile").profile
    assert set(importances) == set(GROUPED.index)
    assert importances["user_profile"].kind == FeatureKind.FEATURE_KIND_GROUP
    # Each of its four members is absent from 3 examples in 10.
    assert importances["user_profile"].coverage > 0.95
    assert 0 < profile.baseline_rate < 0.05
    assert not profile.quantities


def test_a_second_run_finds_everything_done(platform: Platform, file: Path) -> None:
    with client_of(platform, "whole") as client:
        before = facts(windows(client))
        done = run(platform, file, "whole")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["windows"]["done before"] == HOURS
        assert facts(windows(client)) == before


def test_what_stands_in_the_way_is_told(platform: Platform, file: Path, tmp_path: Path) -> None:
    wrong_length = run(platform, file, "whole", "--window-seconds", "1800")
    assert wrong_length.returncode == 2
    assert "pass --window-seconds 3600" in wrong_length.stderr
    no_column = run(platform, file, "whole", "--time-column", "when")
    assert no_column.returncode == 3
    assert "no column 'when'" in no_column.stderr
    nobody = run(platform, file, "nobody")
    assert nobody.returncode == 3
    assert "aftershock load" in nobody.stderr
    half = run(platform, file, "whole", "--label-column", "")
    assert half.returncode == 2
    assert "take both" in half.stderr


def test_history_comes_before_what_is_live(platform: Platform, file: Path, tmp_path: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table.slice(ROWS // 2), tmp_path / "late.parquet")
    late = [sys.executable, "-m", "aftershock.cli", "backfill", str(tmp_path / "late.parquet")]
    environment = environment_of(platform)
    arguments = ["--model", "plain", "--population", "displayed"]
    done = subprocess.run(
        [*late, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "windows sent" in done.stdout
    with client_of(platform, "plain") as client:
        deadline = time.monotonic() + 20
        while not any(w.state == WindowState.WINDOW_STATE_CLOSED for w in client.windows()):
            assert time.monotonic() < deadline, "no window was closed"
            time.sleep(0.1)
    whole = run(platform, file, "plain")
    assert whole.returncode == 3
    assert json.loads(whole.stdout)["windows"]["closed before it had any"] >= 4


def _known(client: aftershock.Client) -> dict[str, Window]:
    try:
        return windows(client)
    except aftershock.NotFound:
        return {}
