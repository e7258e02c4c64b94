"""Where policies and guard rails come from."""

from typing import Protocol

from services.runbook.domain.facts import Fields
from services.runbook.domain.policy import Condition, Rules


class PolicySource(Protocol):
    """Where the rules come from."""

    def current(self) -> Rules:
        """Return the rules in force. Changes nothing."""


class RuleReader(Protocol):
    """Makes rules from text."""

    def read(self, name: str, text: str) -> Rules:
        """Return the rules in a policy file's text.

        Raises:
            InvalidPolicy: it cannot be followed; one line for each problem, beginning with `name`.
        """


class Conditions(Protocol):
    """Makes conditions from text."""

    def compile(self, expression: str, fields: Fields) -> Condition:
        """Return the condition; it may use these variables, and these fields of each.

        Raises:
            InvalidPolicy: the text is no expression, or uses what there is not.
        """
