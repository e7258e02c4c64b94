"""What a policy would have done about the incidents on record."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.runbook.domain.policy import Rules
from services.runbook.domain.replay import Replayed, replay
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
    found: list[Replayed] = []
    token = ""
    while len(found) < limit:
        page, token = unit.catalogue.page(model, min(_PAGE, limit - len(found)), token)
        found.extend(replay(incident, rules) for incident in page)
        if not token:
            break
    return found
