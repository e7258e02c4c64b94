"""What kill-switches and masks do to a model's levers: its features, and ids of their lists."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.plan import KILLED, MASKED, SERVED, Change, Settings
from services.runbook.domain.suspect import masked_id

_OFF = frozenset({KILLED, MASKED})


@dataclass(frozen=True)
class Kill:
    """A feature that is served at its baseline, to all traffic or to most of it; or an id that is
    left out of its list."""

    key: str
    """The mitigation that switched it off. Its features come back to the same requests."""
    served_percent: int = 0
    """Of traffic that is served it all the same."""
    step: int = 0
    """That set the share."""

    def exposed(self, percent: int, step: int) -> "Kill":
        """Return the kill with another share; itself if a later step set it."""
        return self if step < self.step else replace(self, served_percent=percent, step=step)


Kills = Mapping[str, Kill]
"""What is switched off of a model, by lever."""


def settings_of(levers: Iterable[str], kills: Kills) -> Settings:
    """Return how each feature or id is served, given what is switched off of the model."""
    return {lever: _setting(lever, kills.get(lever)) for lever in levers}


def switched(kills: Kills, key: str, change: Change) -> Kills:
    """Return what is switched off after the change.

    Raises:
        ActuatorConflict: they are not as the change expects them, or are coming back.
    """
    found = settings_of(change.previous, kills)
    if found != change.previous:
        others = ", ".join(f for f in change.previous if found[f] != change.previous[f])
        raise ActuatorConflict(f"somebody else switched {others} since this was planned")
    if returning := [f for f in change.target if f in kills and kills[f].served_percent]:
        raise ActuatorConflict(
            f"{', '.join(returning)} is being served again by stages: renew that kill instead"
        )
    return _with(kills, key, change.target)


def restored(kills: Kills, key: str, change: Change) -> Kills:
    """Return what is switched off with the change undone, where it is still in force."""
    ours = {
        feature: change.previous[feature]
        for feature, target in change.target.items()
        if (feature in kills) == (target in _OFF)
    }
    return _with(kills, key, ours)


def _setting(lever: str, kill: Kill | None) -> str:
    if kill is None:
        return SERVED
    if kill.served_percent:
        return f"served to {kill.served_percent} %"
    return MASKED if masked_id(lever) else KILLED


def _with(kills: Kills, key: str, settings: Settings) -> Kills:
    kept = {f: kill for f, kill in kills.items() if settings.get(f) != SERVED}
    on = (feature for feature, setting in settings.items() if setting in _OFF)
    return {**{feature: Kill(key) for feature in on}, **kept}
