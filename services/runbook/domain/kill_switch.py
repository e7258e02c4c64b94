"""What a kill-switch does to a model's killed features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.plan import KILLED, SERVED, Change, Settings


@dataclass(frozen=True)
class Kill:
    """A feature that is served at its baseline, to all traffic or to most of it."""

    key: str
    """The mitigation that switched it off. Its features come back to the same requests."""
    served_percent: int = 0
    """Of traffic that is served the feature all the same."""
    step: int = 0
    """That set the share."""

    def exposed(self, percent: int, step: int) -> "Kill":
        """Return the kill with another share; itself if a later step set it."""
        return self if step < self.step else replace(self, served_percent=percent, step=step)


Kills = Mapping[str, Kill]
"""A model's killed features, by name."""


def settings_of(features: Iterable[str], kills: Kills) -> Settings:
    """Return how each feature is served, given which of the model's are killed."""
    return {feature: _setting(kills.get(feature)) for feature in features}


def switched(kills: Kills, key: str, change: Change) -> Kills:
    """Return the killed features after the change.

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
    """Return the killed features with the change undone, where it is still in force."""
    ours = {
        feature: change.previous[feature]
        for feature, target in change.target.items()
        if (feature in kills) == (target == KILLED)
    }
    return _with(kills, key, ours)


def _setting(kill: Kill | None) -> str:
    if kill is None:
        return SERVED
    return f"served to {kill.served_percent} %" if kill.served_percent else KILLED


def _with(kills: Kills, key: str, settings: Settings) -> Kills:
    kept = {f: kill for f, kill in kills.items() if settings.get(f) != SERVED}
    on = (feature for feature, setting in settings.items() if setting == KILLED)
    return {**{feature: Kill(key) for feature in on}, **kept}
