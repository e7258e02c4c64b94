"""The order of events in a world of two tiers of models, and what came of it."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

import aftershock
from aftershock.v1.lineage_pb2 import Feeling
from clients.drill.tiers import telling
from clients.drill.tiers.models import TIERS, USER_TOWER, downstream
from clients.drill.tiers.playing import Player
from clients.drill.tiers.population import Fault
from clients.drill.tiers.watching import Watcher

HEALTHY_HOURS = 8
BROKEN_HOURS = 3
CALLED_ABOUT = "ads_ctr"
_LOOKBACK = timedelta(hours=6)
_PATIENCE_SECONDS = 6.0
_POLL_SECONDS = 0.05
_MODEL = "model:"
_DEPLOYED = {
    Fault.PIPELINE: ("job:airflow:profile_features", "profile_features 2.4.0"),
    Fault.MODEL: ("job:airflow:encode_users", "encoder 8"),
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
class Story:
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
        incident = self.client.incident(first_incident(self.client, CALLED_ABOUT))
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


def first_incident(client: aftershock.Client, model: str) -> str:
    """Return the model's first incident.

    Raises:
        DemoFailed: it has none.
    """
    incidents = client.incidents(model)
    if not incidents:
        raise DemoFailed(f"{model} was not off")
    return incidents[-1].name
