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
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

import aftershock
from aftershock._lineage_file import read_lineage_file
from aftershock.v1.lineage_pb2 import Feeling
from clients.drill.serving import ModelServer
from clients.drill.tiers import telling
from clients.drill.tiers.models import TIERS, USER_TOWER, Tier, downstream
from clients.drill.tiers.playing import Player
from clients.drill.tiers.population import Fault, Population
from clients.drill.tiers.watching import Watcher
from deploy.local import Platform
from services.chassis.tokens import Role

HEALTHY_HOURS = 8
BROKEN_HOURS = 3
_LOOKBACK = timedelta(hours=6)
_PATIENCE_SECONDS = 6.0
_POLL_SECONDS = 0.05
_MODEL = "model:"
_DEPLOYED = {
    Fault.PIPELINE: ("job:airflow:profile_features", "profile_features 2.4.0"),
    Fault.MODEL: ("job:airflow:encode_users", "encoder 8"),
}
CALLED_ABOUT = "ads_ctr"
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


class DemoFailed(Exception):
    """The platform did not do what it should."""


@dataclass
class Result:
    """What came of it."""

    root: str
    root_rank: int | None = None
    felt: set[str] = field(default_factory=set)
    victims: set[str] = field(default_factory=set)
    warned: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the last line, for a program to read."""
        return {
            "root": self.root,
            "root_rank": self.root_rank,
            "victims_found": len(self.felt & self.victims),
            "victims_true": len(self.victims),
            "warned_before_calibration": self.warned,
        }


@dataclass(frozen=True)
class Demo:
    """The order of events."""

    player: Player
    client: aftershock.Client
    console: Console
    fault: Fault

    def play(self, watchers: dict[str, Watcher]) -> Result:
        """Play healthy hours, break one thing, and ask what broke."""
        population = self.player.population
        root, deployed = _DEPLOYED[self.fault]
        broken = {tier.name for tier in downstream()}
        broken |= {USER_TOWER} if self.fault is Fault.PIPELINE else set()
        result = Result(root, victims=broken)
        off: dict[str, float] = {}
        self._say("[bold]Healthy hours[/]")
        for hour in range(HEALTHY_HOURS + BROKEN_HOURS):
            if hour == population.break_hour:
                self._say(f"[bold]{deployed} is deployed[/] on {root}")
                self._deploy(root, deployed, population.time(hour))
            self.player.run_pipelines(hour)
            self._hour(hour, off)
            if hour >= population.break_hour:
                self._listen(watchers)
        result.warned = sum(
            (first := watchers[model].first) is not None and first < moment
            for model, moment in off.items()
            if model in watchers
        )
        self._say("[bold]Who was warned[/]", *telling.warnings(watchers, off))
        self._ask(result)
        return result

    def _hour(self, hour: int, off: dict[str, float]) -> None:
        """Play an hour of all models and note which is off for the first time."""
        told = []
        for tier in TIERS:
            window = self.player.play(tier, hour)
            mark = ""
            if window.calibration.anomalous:
                off.setdefault(tier.name, time.monotonic())
                mark = " [bold red]![/]"
            told.append(f"{tier.name} {window.calibration.ratio:.2f}{mark}")
        start = self.player.population.time(hour)
        self._say(f"  {start:%H:%M}  calibration  " + "  ".join(told))

    def _listen(self, watchers: dict[str, Watcher]) -> None:
        """Give warnings the moment that an hour would leave them."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and not all(w.warnings for w in watchers.values()):
            time.sleep(_POLL_SECONDS)

    def _ask(self, result: Result) -> None:
        """Ask as somebody who is called about one model downstream."""
        population = self.player.population
        end = population.time(HEALTHY_HOURS + BROKEN_HOURS)
        incident = self.client.incident(_incident(self.client, CALLED_ABOUT))
        window = incident.comparison.anomaly.name
        found = self.client.common_causes(window, lookback=_LOOKBACK, with_others=True)
        names = [cause.node for cause in found.causes]
        result.root_rank = names.index(result.root) + 1 if result.root in names else None
        self._say(
            f"[bold]Common causes[/] of {len(found.shifted)} nodes that shifted with {CALLED_ABOUT}"
        )
        self._say(*telling.causes(found.causes))
        told = self.client.trace_propagation(
            names[0] if names else result.root,
            start=population.time(population.break_hour),
            end=end,
        )
        nodes = list(told.nodes)
        result.felt = {
            node.node.removeprefix(_MODEL)
            for node in nodes
            if node.node.startswith(_MODEL) and node.feeling == Feeling.FEELING_FELT
        }
        self.console.print(telling.tree(nodes, told.origin))

    def _deploy(self, node: str, what: str, moment: datetime) -> None:
        self.client.record_event("deploy", node, what, time=moment, actor="ci")

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, highlight=False)


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
        result = Demo(player, anybody, console, fault).play(watchers)
        for title, *command in _QUESTIONS[fault]:
            told = [part.format(incident=_incident(anybody, title)) for part in command]
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


def _incident(client: aftershock.Client, model: str) -> str:
    """Return the model's first incident.

    Raises:
        DemoFailed: it has none.
    """
    incidents = client.incidents(model)
    if not incidents:
        raise DemoFailed(f"{model} was not off")
    return incidents[-1].name


def main() -> None:
    """Play the story; the last line is its summary, one JSON object."""
    parser = argparse.ArgumentParser(prog="make demo-lineage", description=__doc__)
    parser.add_argument("--fault", type=Fault, default=Fault.PIPELINE, choices=list(Fault))
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    try:
        result = run(arguments.fault, console)
    except DemoFailed as error:
        sys.exit(f"the demo failed: {error}")
    print(json.dumps(result.summary()), flush=True)


if __name__ == "__main__":
    main()
