"""One real incident from end to end: `make demo`.

A pipeline breaks in a world of real engagements. Aftershock notices, finds the feature, proposes to
switch it off, does so when the expert agrees, and checks that it helped.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

import aftershock
from aftershock.serving import KillSwitchGuard
from aftershock.v1.incident_pb2 import IncidentState, Mitigation, MitigationState
from aftershock.v1.window_pb2 import Window
from clients.drill.corruptions import Corruption
from clients.drill.expert import POLL_SECONDS, STATE_SECONDS, Answer, DemoFailed, Expert
from clients.drill.movielens.world import World, load_world
from clients.drill.paper_cases import TITLES, paper_case
from clients.drill.replay import HOURS_A_DAY, Hour, Replay, hours_of
from clients.drill.serving import ModelServer
from clients.drill.story import Story
from clients.drill.training import train_checkpoint
from deploy.local import Platform
from services.chassis.tokens import Role

ROWS_AN_HOUR = 2_500
CONSIDERED = 1_000
DISPLAYED = 500
HEALTHY_HOURS = 3 * HOURS_A_DAY + 1
HOURS_AFTER = 3
_PAGE_WIDTH = 100


Seat = Callable[[Platform, ExitStack], Answer]
"""Puts an expert somewhere else than at the terminal, for as long as the platform runs."""


@dataclass(frozen=True)
class Demo:
    """The order of events."""

    replay: Replay
    expert: Expert
    story: Story
    progress: Progress

    def play(self, hours: Sequence[Hour], case: int | None) -> None:
        """Play healthy days, then break the pipeline and see the incident through."""
        self.story.say("[bold]Healthy days[/]")
        healthy, rest = hours[:HEALTHY_HOURS], list(hours[HEALTHY_HOURS:])
        for hour in healthy:
            self._hour("healthy", hour, None)
        self._no_incident()
        if case is None:
            for hour in rest[:HOURS_AFTER]:
                self._hour("healthy", hour, None)
            self._no_incident()
            return
        corruption = self._break(case)
        window = self._hour("broken", rest.pop(0), corruption)
        if window.calibration.anomalous:
            self._see_through(rest, corruption)
        else:
            self.story.say("Calibration stays in its healthy band: no incident. What shifted:")
            self.story.shifts(self.expert.client.compare(window))

    def _break(self, case: int) -> Corruption:
        """Choose what breaks; some cases choose by importance on the last healthy window."""
        gfi = self.expert.client.gfi(self.expert.client.windows(limit=1)[0])
        importances = {importance.feature: importance.gfi for importance in gfi}
        schema = self.replay.world.schema
        corruption = paper_case(case, schema, importances=importances)
        self.story.culprits = corruption.culprits
        names = ", ".join(corruption.culprits)
        self.story.say(f"[bold]A pipeline breaks[/]: {TITLES[case]}: {names}")
        return corruption

    def _see_through(self, rest: list[Hour], corruption: Corruption) -> None:
        incident = self.expert.incident()
        if incident is None:
            raise DemoFailed("calibration is anomalous and no incident was opened")
        self.story.shifts(incident.comparison)
        if not incident.mitigations:
            self.story.state = "OPEN"
            self.story.say(f"No proposal: {incident.advice}")
            return
        mitigation = incident.mitigations[0]
        self.story.proposal(mitigation, incident.comparison.anomaly.calibration)
        self.progress.stop()
        approved = self.expert.decide(mitigation)
        self.progress.start()
        if not approved:
            self.story.state = "REJECTED"
            return
        states = MitigationState
        self.expert.wait_for(
            incident, states.MITIGATION_STATE_APPLIED, states.MITIGATION_STATE_VERIFYING
        )
        self._wait_for_guard(mitigation)
        self.story.say("[bold]Switched off[/]; the pipeline stays broken")
        for hour in rest[:HOURS_AFTER]:
            self._hour("mitigated", hour, corruption)
        incident = self.expert.wait_for(
            incident,
            states.MITIGATION_STATE_EFFECTIVE,
            states.MITIGATION_STATE_REVERTED,
            states.MITIGATION_STATE_FAILED,
        )
        state = incident.mitigations[0].state
        self.story.state = MitigationState.Name(state).removeprefix("MITIGATION_STATE_")
        closed = incident.state == IncidentState.INCIDENT_STATE_CLOSED
        self.story.say(f"[bold]{self.story.state}[/]; incident {'closed' if closed else 'open'}")
        self.story.timeline(incident)

    def _hour(self, phase: str, hour: Hour, corruption: Corruption | None) -> Window:
        task = self.progress.add_task(f"day {hour.day} {hour.start:%H:%M}", total=3)
        window = self.replay.play(hour, corruption, lambda: self.progress.advance(task))
        self.progress.remove_task(task)
        self.story.hour(phase, hour, window)
        return window

    def _no_incident(self) -> None:
        incidents = self.expert.client.incidents()
        if incidents:
            raise DemoFailed(f"{incidents[0].name} was opened on healthy data")
        self.story.say("  no incident")

    def _wait_for_guard(self, mitigation: Mitigation) -> None:
        deadline = time.monotonic() + STATE_SECONDS
        while not self.replay.guard.killed.issuperset(mitigation.features):
            if time.monotonic() > deadline:
                raise DemoFailed("the kill-switch did not reach the model server")
            time.sleep(POLL_SECONDS)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """Yield a progress bar that leaves nothing behind."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def prepare(cache: Path, progress: Progress) -> tuple[World, Path]:
    """Return the world and its trained checkpoint, with progress shown."""
    task = progress.add_task("building the world", total=1.0)

    def report(stage: str, share: float) -> None:
        progress.update(task, description=stage, completed=share)

    cache.mkdir(parents=True, exist_ok=True)
    world = load_world(cache, report)
    checkpoint = train_checkpoint(world, cache / "checkpoint", progress=report)
    progress.remove_task(task)
    return world, checkpoint


def play(
    arguments: argparse.Namespace,
    console: Console,
    *,
    seat: Seat | None = None,
    settings: Mapping[str, str] | None = None,
) -> Story:
    """Prepare the world, start the platform, play the story, stop the platform.

    Args:
        arguments: of the command line.
        console: that the story is told on.
        seat: of an expert who decides elsewhere.
        settings: extra environment variables for the services.
    """
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar(console))
        world, checkpoint = prepare(arguments.cache, progress)
        story = Story(case=arguments.case or "none", console=console)
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aftershock-demo-")))
        task = progress.add_task("starting the platform", total=None)
        platform = stack.enter_context(Platform(data, checkpoints=[checkpoint], settings=settings))
        elsewhere = seat(platform, stack) if seat else None
        progress.remove_task(task)
        at = platform.addresses
        story.say(f"[bold]World[/]: {len(world):,} events, {len(world.schema.features)} features")
        server = ModelServer.load(checkpoint)
        model = server.checkpoint.release.model

        def client(name: str, *roles: Role) -> aftershock.Client:
            return stack.enter_context(
                aftershock.Client(
                    attribution=at.attribution,
                    aggregator=at.aggregator,
                    runbook=at.runbook,
                    model=model,
                    token=platform.token(name, *roles),
                )
            )

        guard = stack.enter_context(KillSwitchGuard(at.runbook, model=model))
        pipeline = client("pipeline", Role.PIPELINE, Role.READER)
        reader = client("expert", Role.READER, Role.APPROVER)
        expert = Expert(reader, arguments.ask, elsewhere)
        replay = Replay(world, server, guard, pipeline, CONSIDERED, DISPLAYED)
        hours = list(hours_of(world, ROWS_AN_HOUR))
        Demo(replay, expert, story, progress).play(hours, arguments.case)
        return story


def _case(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal() or int(text) not in TITLES:
        raise argparse.ArgumentTypeError(
            f"{text}: choose one of {min(TITLES)} to {max(TITLES)}, or none"
        )
    return int(text)


def _console() -> Console:
    """Return the terminal, or a page as wide as the tables where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PAGE_WIDTH)


def main() -> None:
    """Play the story; the last line is its summary, one JSON object."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--case", type=_case, default=11, help="1 to 11 of the paper, or none")
    parser.add_argument("--yes", action="store_true", help="approve without asking")
    default = Path(os.environ.get("AFTERSHOCK_DATA_DIR", ".aftershock")) / "cache"
    parser.add_argument("--cache", type=Path, default=default)
    arguments = parser.parse_args()
    arguments.ask = not arguments.yes and sys.stdin.isatty()
    started = time.monotonic()
    try:
        story = play(arguments, _console())
    except DemoFailed as error:
        sys.exit(f"the demo failed: {error}")
    print(json.dumps(story.summary(time.monotonic() - started)), flush=True)


if __name__ == "__main__":
    main()
