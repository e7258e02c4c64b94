"""Which features reach which element of one step's answer, by operator family.

A rule takes labels where the operator takes values, and answers labels. Operators that only move
elements run on the labels as they would on the values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.attribution.engine import operators
from services.attribution.engine.feature_sets import NONE, FeatureSets
from services.attribution.engine.graph import Ref, Step, Value, resolved


def tensors_in(value: Value) -> list[Tensor]:
    """Return the tensors of a value that may be a list."""
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in tensors_in(v)] if isinstance(value, list | tuple) else []


def unlabelled(value: Value) -> Value:
    """Return the labels of a constant."""
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=torch.int64)
    return [unlabelled(v) for v in value] if isinstance(value, list | tuple) else value


class NotCovered(Exception):
    """The operator is used in a way that its rule does not cover."""


class LabelCall:
    """One application of a labelling rule."""

    def __init__(
        self, step: Step, arguments: list[Any], sets: FeatureSets, constants: Mapping[int, Value]
    ) -> None:
        self.step = step
        self.arguments = arguments
        self.sets = sets
        self.constants = constants

    @property
    def first(self) -> Tensor:
        """Return the first argument's labels."""
        return tensor(self.arguments[0])

    def option(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument that has a default."""
        if len(self.arguments) > position:
            return self.arguments[position]
        return self.step.keywords.get(name, default)


def tensor(value: Value) -> Tensor:
    """Return a value that has to be a tensor."""
    if not isinstance(value, Tensor):
        raise NotCovered
    return value


def everything(step: Step, inputs: Sequence[Value], sets: FeatureSets) -> Value:
    """Return labels that make every element depend on whatever reaches any input."""
    tensors = [t for value in inputs for t in tensors_in(value)]
    label = sets.of(np.concatenate([t.reshape(-1).numpy() for t in tensors] or [np.zeros(1)]))
    if step.shape is not None:
        return torch.full((1, *step.shape), label, dtype=torch.int64)
    return _Opaque(label)


class _Opaque(list[Tensor]):
    """Labels of a value without rows of its own: everything taken out of it has the one label."""

    def __init__(self, label: int) -> None:
        super().__init__([torch.tensor([label])])


def _move(call: LabelCall) -> Value:
    step, arguments = call.step, list(call.arguments)
    if step.operator == "getitem" and isinstance(arguments[0], _Opaque):
        return None
    if step.operator in ("index", "index_select"):
        return _index(call)
    if step.operator == "view" and step.overload == "dtype":
        return _bits(call)
    return step.target(*arguments, **_labelled_keywords(step))


def _labelled_keywords(step: Step) -> dict[str, Any]:
    return {k: v for k, v in step.keywords.items() if k not in ("dtype", "device")}


def _index(call: LabelCall) -> Value:
    """Return labels moved by constant indices; by an index with labels, of whole table rows."""
    raw = call.step.arguments[-1]
    wanted = raw if isinstance(raw, list) else [raw]
    references = [r for r in wanted if isinstance(r, Ref)]
    if all(r.index in call.constants for r in references):
        indices = resolved(raw, call.constants)
        arguments = [call.first, *resolved(call.step.arguments[1:-1], call.constants), indices]
        return call.step.target(*arguments)
    if len(wanted) == 1 and isinstance(wanted[0], Ref) and bool((call.first == NONE).all()):
        last = call.arguments[-1]
        labels = tensor(last[0] if isinstance(last, list) else last)
        return labels.reshape(*labels.shape, *[1] * (call.first.dim() - 1)).expand(
            *labels.shape, *call.first.shape[1:]
        )
    return None


def _bits(call: LabelCall) -> Value:
    """Return labels of the same bits seen as elements of another width."""
    if call.step.shape is None:
        return None
    width, wanted = call.first.shape[-1], call.step.shape[-1]
    if wanted % width:
        return None
    return call.first.repeat_interleave(wanted // width, dim=-1)


def _cast(call: LabelCall) -> Value:
    return call.first.clone()


def _elementwise(call: LabelCall) -> Value:
    labels = [a for a in call.arguments if isinstance(a, Tensor)]
    if call.step.operator in ("zeros_like", "ones_like", "full_like"):
        return torch.zeros_like(labels[0])
    joined = labels[0]
    for other in labels[1:]:
        joined = call.sets.union(joined, other)
    return joined.clone()


def _reduction(call: LabelCall) -> Value:
    dims = call.option(1, "dim", call.option(1, "axis"))
    position = 1
    if call.step.operator in ("norm", "linalg_vector_norm"):
        position = 2
        dims = call.option(2, "dim")
    if call.step.overload in ("correction", "dim") and call.step.operator in ("var", "std"):
        dims = call.option(1, "dim")
    labels = call.first
    wanted = [dims] if isinstance(dims, int) else list(dims or [])
    if not wanted or any(isinstance(d, bool) or not isinstance(d, int) for d in wanted):
        return None
    keep = bool(call.option(position + 1, "keepdim", False))
    if call.step.operator in ("var", "std"):
        keep = bool(call.step.keywords.get("keepdim", False))
    answer = call.sets.over(labels, [d % labels.dim() for d in wanted], keep=keep)
    expected = call.step.shape
    return answer if expected is None or tuple(answer.shape[1:]) == expected else None


def _along(call: LabelCall) -> Value:
    labels = call.first
    dim = int(call.arguments[1]) % labels.dim()
    return call.sets.over(labels, [dim], keep=True).expand(labels.shape).clone()


def _layer_norm(call: LabelCall) -> Value:
    labels = call.first
    count = len(call.arguments[1])
    dims = list(range(labels.dim() - count, labels.dim()))
    return call.sets.over(labels, dims, keep=True).expand(labels.shape).clone()


def _linear(call: LabelCall) -> Value:
    weight = tensor(call.arguments[1])
    if not bool((weight == NONE).all()):
        return None
    joined = call.sets.over(call.first, [call.first.dim() - 1], keep=True)
    return joined.expand(*joined.shape[:-1], len(weight)).clone()


def _matmul(call: LabelCall) -> Value:
    first, second = tensor(call.arguments[-2]), tensor(call.arguments[-1])
    if call.step.operator in ("addmm", "baddbmm"):
        first, second = tensor(call.arguments[1]), tensor(call.arguments[2])
    if first.dim() < 2 or second.dim() < 2:
        return None
    rows = call.sets.over(first, [first.dim() - 1], keep=True)
    columns = call.sets.over(second, [second.dim() - 2], keep=True)
    joined = call.sets.union(rows, columns)
    return call.sets.union(joined, call.first) if "add" in call.step.operator else joined


def _embedding(call: LabelCall) -> Value:
    table, ids = tensor(call.arguments[0]), tensor(call.arguments[1])
    if not bool((table == NONE).all()):
        return None
    return ids.unsqueeze(-1).expand(*ids.shape, table.shape[-1]).clone()


_RULES: dict[str, Callable[[LabelCall], Value]] = {
    **dict.fromkeys(operators.MOVES, _move),
    **dict.fromkeys(operators.CASTS, _cast),
    **dict.fromkeys(operators.ELEMENTWISE, _elementwise),
    **dict.fromkeys(operators.REDUCTIONS, _reduction),
    **dict.fromkeys(operators.ALONG, _along),
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _layer_norm),
    **dict.fromkeys(("batch_norm", "batch_norm_inference"), _cast),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), _matmul),
    "embedding": _embedding,
}


def rule_of(step: Step) -> Callable[[LabelCall], Value] | None:
    """Return the rule of a step; None: there is none. It may answer None or raise, uncovered."""
    if step.overload == "python":
        return lambda call: step.target(*call.arguments)
    return _RULES.get(step.operator)
