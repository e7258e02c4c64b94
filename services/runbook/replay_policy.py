"""What a policy would have done about the incidents on record."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.runbook.domain.incident import Incident
from services.runbook.domain.policy import Rules
from services.runbook.domain.replay import Replayed, replay
from services.runbook.domain.track_record import EARLIER_INCIDENTS, track_record
from services.runbook.ports import RuleReader, Store, UnitOfWork

_PAGE = 50


@dataclass(frozen=True)
class ReplayPolicy:
    """Runs rules over recorded incidents, and changes nothing."""

    store: Store
    reader: RuleReader

    async def __call__(
        self, name: str, text: str, model: str | None, limit: int
    ) -> Sequence[Replayed]:
        """Return the newest incidents with what the rules in `text` would have done about them.

        Raises:
            InvalidPolicy: they cannot be followed.
            StoreUnavailable: the incidents cannot be read.
        """
        rules = self.reader.read(name, text)
        return await self.store.read(lambda unit: _replayed(unit, rules, model, limit))


def _replayed(unit: UnitOfWork, rules: Rules, model: str | None, limit: int) -> Sequence[Replayed]:
    newest_first = _newest(unit, model, limit + EARLIER_INCIDENTS)
    return [
        replay(incident, rules, track_record(_before(newest_first[place + 1 :], incident.model)))
        for place, incident in enumerate(newest_first[:limit])
    ]


def _newest(unit: UnitOfWork, model: str | None, count: int) -> Sequence[Incident]:
    found: list[Incident] = []
    token = ""
    while len(found) < count:
        page, token = unit.catalogue.page(model, min(_PAGE, count - len(found)), token)
        found.extend(page)
        if not token:
            break
    return found


def _before(older: Sequence[Incident], model: str) -> Sequence[Incident]:
    return [incident for incident in older if incident.model == model][:EARLIER_INCIDENTS]
