"""A shift that spreads through two tiers of models: `make demo-lineage`.

A pipeline breaks, or a model that feeds others does. Aftershock warns the owners of the models
downstream before theirs are off, names the common cause of everything that shifted, and shows how
far it spread and what happened upstream shortly before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from rich.console import Console

import aftershock
from aftershock._lineage_file import read_lineage_file
from clients.drill.serving import ModelServer
from clients.drill.tiers.models import TIERS, USER_TOWER, Tier, downstream
from clients.drill.tiers.playing import Player
from clients.drill.tiers.population import Fault, Population
from clients.drill.tiers.story import (
    BROKEN_HOURS,
    CALLED_ABOUT,
    HEALTHY_HOURS,
    DemoFailed,
    Result,
    Story,
    first_incident,
)
from clients.drill.tiers.watching import Watcher
from deploy.local import Platform
from services.chassis.tokens import Role

_TIMELINE = (CALLED_ABOUT, "timeline", CALLED_ABOUT, "--around", "{incident}", "--limit", "10")
_QUESTIONS = {
    Fault.PIPELINE: (
        (USER_TOWER, "lineage", "group", "job:airflow:profile_features", "--around", "{incident}"),
        _TIMELINE,
    ),
    Fault.MODEL: (_TIMELINE,),
}
"""What is asked on the command line, about the incident of which model."""
_SETTINGS = {
    "AFTERSHOCK_AGGREGATOR_CONTROL_SELECTION": "PREVIOUS_HOUR",
    "AFTERSHOCK_AGGREGATOR_SWEEP_SECONDS": "0.2",
}


def prepare(platform_data: Path, population: Population) -> dict[Tier, Path]:
    """Export every model as a checkpoint."""
    folder = platform_data / "checkpoints"
    return {t: t.export(population, population.start, folder / t.name) for t in TIERS}


def run(fault: Fault, console: Console) -> Result:
    """Start the platform, play the story, stop the platform."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = now - timedelta(hours=HEALTHY_HOURS + BROKEN_HOURS)
    population = Population(start, HEALTHY_HOURS, fault)
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aftershock-demo-")))
        folders = prepare(data, population)
        platform = stack.enter_context(
            Platform(data, checkpoints=list(folders.values()), settings=_SETTINGS)
        )
        at, token = platform.addresses, platform.token("demo", Role.ADMIN)

        def client(model: str | None = None) -> aftershock.Client:
            made = aftershock.Client(
                attribution=at.attribution,
                aggregator=at.aggregator,
                runbook=at.runbook,
                model=model,
                token=token,
            )
            return stack.enter_context(made)

        anybody = client()
        lineage = read_lineage_file(Path(__file__).with_name("lineage.yaml")).request
        lineage.time.FromDatetime(start)
        anybody.register_lineage(lineage)
        http = stack.enter_context(
            httpx.Client(
                base_url=f"http://{at.lineage}", headers={"Authorization": f"Bearer {token}"}
            )
        )
        player = Player(
            population,
            {tier: ModelServer.load(folder) for tier, folder in folders.items()},
            {tier.name: client(tier.name) for tier in TIERS},
            http,
        )
        watchers = {tier.name: Watcher(client(tier.name)) for tier in downstream()}
        result = Story(player, anybody, console, fault).play(watchers)
        for title, *command in _QUESTIONS[fault]:
            told = [part.format(incident=first_incident(anybody, title)) for part in command]
            console.print(f"[bold]aftershock {' '.join(told)}[/]", highlight=False)
            console.print(_asked(platform, token, *told), highlight=False, markup=False)
        return result


def _asked(platform: Platform, token: str, *command: str) -> str:
    """Return what the command line answers."""
    shown = subprocess.run(
        [sys.executable, "-m", "aftershock.cli", *command],
        env={**os.environ, **platform.environment(token), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout + shown.stderr


def main() -> None:
    """Play the story; the last line is its summary, one JSON object."""
    parser = argparse.ArgumentParser(prog="make demo-lineage", description=__doc__)
    parser.add_argument("--fault", default="pipeline", choices=[fault.value for fault in Fault])
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    try:
        result = run(Fault(arguments.fault), console)
    except DemoFailed as error:
        sys.exit(f"the demo failed: {error}")
    print(json.dumps(result.summary()), flush=True)


if __name__ == "__main__":
    main()
