"""A model gets rules of its own: how long its windows wait, and how long they are kept."""

from dataclasses import dataclass

from services.aggregator.domain.errors import InvalidRules
from services.aggregator.domain.window import ModelRules, WindowRules
from services.aggregator.ports import ModelDirectory


@dataclass(frozen=True)
class SetRules:
    """Replaces a model's own rules."""

    directory: ModelDirectory
    rules: WindowRules
    """Everybody's."""

    async def __call__(self, model: str, own: ModelRules) -> None:
        """Set them. A window that has a summary stays closed; what was stored keeps its expiry.

        Raises:
            ModelNotFound: nothing is known of the model.
            InvalidRules: the allowed lateness is not shorter than the retention.
        """
        together = self.rules.of(own)
        if together.allowed_lateness >= together.retention:
            raise InvalidRules(
                f"an allowed lateness of {together.allowed_lateness} is not shorter than the "
                f"retention, {together.retention}: windows would be forgotten before they close",
                field="rules.allowed_lateness",
            )
        await self.directory.set_rules(model, own)
