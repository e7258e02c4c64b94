"""How a finite change passes an operator, by operator family.

A rule answers `f(value + delta) - f(value)` without subtracting results where it can, and maps a
delta of exactly zero to exactly zero always.
"""

from collections.abc import Callable

from torch import Tensor

from services.attribution.engine.deltas import activations, arithmetic, linear, normalisation
from services.attribution.engine.deltas.call import Call, NoRule, Operand

Rule = Callable[[Call], Tensor]

RULES: dict[str, Rule] = {
    **linear.RULES,
    **arithmetic.RULES,
    **activations.RULES,
    **normalisation.RULES,
}
"""By operator name."""

__all__ = ["RULES", "Call", "NoRule", "Operand", "Rule"]
