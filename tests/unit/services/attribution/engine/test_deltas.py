"""Each rule for a change answers what the operator itself would, and exactly zero for no change.

The engine spot-checks what it compiles and falls back to running the model again, so that a rule
that is wrong costs speed and no result: only here does it show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from services.attribution.engine.deltas import RULES, Call, NoRule, Operand
from services.attribution.engine.graph import Step
from services.attribution.engine.operators import CASTS, MOVES

ROWS = 12
A = torch.ops.aten
NOTHING: Mapping[str, Any] = MappingProxyType({})


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Changing:
    """An argument that changes in two rows of three."""

    seed: int = 0
    shape: tuple[int, ...] = (4,)
    positive: bool = False

    def operand(self) -> Operand:
        value, delta = (numbers(ROWS, *self.shape, seed=s) for s in (self.seed, self.seed + 50))
        if self.positive:
            value, delta = value.abs() + 0.5, delta.abs()
        delta[::3] = 0.0
        return Operand(lambda: value, delta)


@dataclass(frozen=True)
class Unchanging:
    """An argument that has a value per row and does not change."""

    value: Tensor

    def operand(self) -> Operand:
        return Operand(lambda: self.value, None)


X, Y, P, Q = Changing(1), Changing(2), Changing(3, positive=True), Changing(4, positive=True)
CUBE = Changing(5, (2, 3))
STILL = Unchanging(numbers(ROWS, 4, seed=6))
MASK = Unchanging(numbers(ROWS, 4, seed=7) > 0)
SCALE, SHIFT, MEAN = numbers(4, seed=8), numbers(4, seed=9), numbers(4, seed=10)
VARIANCE = numbers(4, seed=11).abs() + 0.1


@dataclass(frozen=True)
class Case:
    operator: str
    target: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    def __str__(self) -> str:
        return self.operator


def each(names: str, argument: Changing) -> list[Case]:
    return [Case(name, getattr(A, name).default, (argument,)) for name in names.split()]


CASES = [
    Case("linear", A.linear.default, (X, numbers(3, 4), numbers(3))),
    Case("addmm", A.addmm.default, (numbers(3), X, numbers(4, 3))),
    Case("add", A.add.Tensor, (X, Y)),
    Case("add", A.add.Tensor, (X, Y), {"alpha": 2}),
    Case("add", A.add.Tensor, (X, STILL)),
    Case("add", A.add.Tensor, (STILL, X), {"alpha": 3}),
    Case("sub", A.sub.Tensor, (X, Y)),
    Case("sub", A.sub.Tensor, (STILL, X), {"alpha": 2}),
    Case("rsub", A.rsub.Scalar, (X, 1.0)),
    Case("sum", A.sum.dim_IntList, (CUBE, [2], True)),
    Case("mean", A.mean.dim, (CUBE, [1])),
    Case("cumsum", A.cumsum.default, (X, 1)),
    Case("where", A.where.self, (MASK, X, Y)),
    Case("where", A.where.self, (MASK, STILL, Y)),
    Case("masked_fill", A.masked_fill.Scalar, (X, MASK, 7.0)),
    Case("dropout", A.dropout.default, (X, 0.5, False)),
    Case(
        "batch_norm",
        A.batch_norm.default,
        (X, SCALE, SHIFT, MEAN, VARIANCE, False, 0.1, 0.5, False),
    ),
    Case(
        "batch_norm_inference",
        A._native_batch_norm_legit_no_training.default,
        (X, SCALE, SHIFT, MEAN, VARIANCE, 0.1, 0.5),
    ),
    Case("layer_norm", A.layer_norm.default, (X, [4], SCALE, SHIFT, 0.1)),
    Case("native_layer_norm", A.native_layer_norm.default, (X, [4], SCALE, SHIFT, 0.1)),
    Case("mul", A.mul.Tensor, (X, Y)),
    Case("mul", A.mul.Tensor, (X, STILL)),
    Case("mul", A.mul.Tensor, (STILL, X)),
    Case("matmul", A.matmul.default, (CUBE, numbers(3, 2))),
    Case("mm", A.mm.default, (X, numbers(4, 2))),
    Case("bmm", A.bmm.default, (CUBE, Changing(12, (3, 2)))),
    Case("div", A.div.Tensor, (X, P)),
    Case("div", A.div.Tensor, (X, STILL)),
    Case("div", A.div.Tensor, (STILL, P)),
    Case("pow", A.pow.Tensor_Scalar, (X, 2)),
    Case("pow", A.pow.Tensor_Scalar, (P, 2.5)),
    Case("leaky_relu", A.leaky_relu.default, (X, 0.2)),
    Case("clamp", A.clamp.default, (X, -0.5, 0.7)),
    Case("clamp_min", A.clamp_min.default, (X, 0.1)),
    Case("clamp_max", A.clamp_max.default, (X, 0.1)),
    Case("maximum", A.maximum.default, (X, Y)),
    Case("minimum", A.minimum.default, (X, STILL)),
    Case("amax", A.amax.default, (X, [1])),
    Case("amin", A.amin.default, (X, [1], True)),
    Case("softmax", A.softmax.int, (X, 1)),
    Case("_softmax", A._softmax.default, (X, 1, False)),
    Case("log_softmax", A.log_softmax.int, (X, 1)),
    *each("neg square relu relu6 hardtanh exp expm1 sigmoid tanh silu abs atan cos sin erf", X),
    *each("celu elu selu gelu hardsigmoid hardswish log_sigmoid mish softplus nan_to_num", X),
    *each("reciprocal sqrt rsqrt log log1p", P),
]


def softsign(x: Tensor) -> Tensor:
    return torch.nn.functional.softsign(x)


def operand_of(argument: Any) -> Any:
    return argument.operand() if isinstance(argument, Changing | Unchanging) else argument


def doubled(argument: Any) -> Any:
    is_float = isinstance(argument, Tensor) and argument.is_floating_point()
    return argument.double() if is_float else argument


def call_of(case: Case) -> Call:
    operands = [operand_of(argument) for argument in case.arguments]
    step = Step(0, "step", case.operator, "", case.target, (), case.keywords, (), None, None)
    answer = step.call(Call(step, operands, ROWS).before())
    shaped = Step(
        0, "step", case.operator, "", case.target, (), case.keywords, (), answer.shape[1:], None
    )
    return Call(shaped, operands, ROWS)


def exact(call: Call) -> Tensor:
    """The operator's own difference, in float64."""
    after, before = ([doubled(a) for a in side] for side in (call.after(), call.before()))
    difference: Tensor = call.step.call(after) - call.step.call(before)
    return difference


ALL = [*CASES, Case("softsign", softsign, (X,))]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_rule_answers_the_operators_own_change(case: Case) -> None:
    call = call_of(case)
    change = RULES[case.operator](call)
    torch.testing.assert_close(change.double(), exact(call), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_no_change_stays_exactly_none(case: Case) -> None:
    change = RULES[case.operator](call_of(case))
    assert not change[::3].any()
    assert change[1::3].any()


def test_every_rule_is_tried() -> None:
    assert {case.operator for case in ALL} == RULES.keys() - MOVES - CASTS


@pytest.mark.parametrize("dims", [[0], [-2], []])
def test_no_rule_reduces_over_the_batch(dims: list[int]) -> None:
    with pytest.raises(NoRule, match="over the batch"):
        RULES["sum"](call_of(Case("sum", A.sum.dim_IntList, (X, dims, True))))
