"""Who reads incidents in the demo, and decides."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import aftershock
from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationState

STATE_SECONDS = 30.0
"""How long the platform may take to get where it should be."""
POLL_SECONDS = 0.1


class DemoFailed(Exception):
    """The platform did not do what it should."""


Answer = Callable[[Mitigation], bool]
"""Approves a proposal or rejects it, and says whether it was approved."""


@dataclass(frozen=True)
class Expert:
    """Reads incidents and decides on proposals: at the terminal, elsewhere, or by itself."""

    client: aftershock.Client
    ask: bool
    elsewhere: Answer | None = None

    def incident(self) -> Incident | None:
        """Return the open incident, with its proposal if one comes in time; None without one."""
        incidents: list[Incident] = []
        deadline = time.monotonic() + STATE_SECONDS
        while time.monotonic() < deadline:
            incidents = self.client.incidents()
            if incidents and incidents[0].mitigations:
                break
            time.sleep(POLL_SECONDS)
        return incidents[0] if incidents else None

    def decide(self, mitigation: Mitigation) -> bool:
        """Approve or reject; return whether it was approved."""
        if self.elsewhere is not None:
            return self.elsewhere(mitigation)
        if self.ask and input("  switch it off? [y/N] ").strip().lower() not in ("y", "yes"):
            self.client.reject(mitigation, reason="rejected at the terminal")
            return False
        self.client.approve(mitigation, reason="the evidence convinces")
        return True

    def wait_for(self, incident: Incident, *states: MitigationState.ValueType) -> Incident:
        """Return the incident when its mitigation is in one of the states.

        Raises:
            DemoFailed: it did not get there in time.
        """
        deadline = time.monotonic() + STATE_SECONDS
        while time.monotonic() < deadline:
            incident = self.client.incident(incident.name)
            if incident.mitigations[0].state in states:
                return incident
            time.sleep(POLL_SECONDS)
        state = MitigationState.Name(incident.mitigations[0].state)
        raise DemoFailed(f"{incident.name} stays {state}")
