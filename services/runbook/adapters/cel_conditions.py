"""Conditions in CEL, the Common Expression Language."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import cel

from services.runbook.domain.errors import ConditionFailed, InvalidPolicy
from services.runbook.domain.facts import Facts, Fields

_TEXT = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_BOUND = re.compile(r"\.(?:all|exists|exists_one|filter|map)\s*\(\s*(\w+)\s*,")
_FIELD = re.compile(r"(?<![\w.])(\w+)\s*\.\s*(\w+)(?!\s*\()\b")


@dataclass(frozen=True)
class CelCondition:
    """A compiled expression."""

    expression: str
    program: cel.Program

    def holds(self, facts: Facts) -> bool:
        """Evaluate it. Raises ConditionFailed where that is no yes and no no."""
        try:
            answer = self.program.execute(dict(facts))
        except Exception as error:
            # The evaluator raises whatever the operation would in Python.
            raise ConditionFailed(f"{self.expression!r} has no answer: {error}") from error
        if not isinstance(answer, bool):
            raise ConditionFailed(f"{self.expression!r} is {answer!r}, neither true nor false")
        return answer


class CelConditions:
    """Compiles expressions and checks the names in them, before an incident does."""

    def compile(self, expression: str, fields: Fields) -> CelCondition:
        """Return the condition.

        Raises:
            InvalidPolicy: it does not parse, or uses a variable or a field that there is not.
        """
        try:
            program = cel.compile(expression)
        except ValueError as error:
            raise InvalidPolicy(f"{expression!r} is no CEL expression: {error}") from error
        plain = _TEXT.sub('""', expression)
        known = fields.keys() | set(_BOUND.findall(plain))
        _refuse(expression, "variable", set(program.variables()) - known, fields)
        for variable, field in _FIELD.findall(plain):
            if fields.get(variable) and field not in fields[variable]:
                _refuse(expression, f"field of {variable}", {field}, fields[variable])
        return CelCondition(expression, program)


def _refuse(expression: str, what: str, unknown: set[str], known: Iterable[str]) -> None:
    if unknown:
        raise InvalidPolicy(
            f"{expression!r} uses {', '.join(sorted(unknown))}, which is no {what} here; there are "
            f"{', '.join(sorted(known))}"
        )
