"""Which features reach which element of every step, by conservative rules per operator.

The rules run on *labels*: a tensor shaped like one row of a value whose numbers name interned sets
of features. Operators that only move elements run on the labels as they would on the values; an
operator that no rule covers makes every element depend on whatever reaches any of its inputs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.attribution.domain.checkpoint import Schema
from services.attribution.engine import operators
from services.attribution.engine.graph import Graph, Ref, Step, Value, resolved

NONE = 0
"""The label of elements that no feature reaches."""


class FeatureSets:
    """Sets of features as bits of integers, interned: a label is a position."""

    def __init__(self) -> None:
        self.bits: list[int] = [0]
        self._position = {0: NONE}
        self._unions: dict[tuple[int, int], int] = {}
        self._members: NDArray[np.bool_] | None = None

    def label(self, bits: int) -> int:
        """Return the label of a set."""
        if bits not in self._position:
            self._position[bits] = len(self.bits)
            self.bits.append(bits)
        return self._position[bits]

    def union(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the labels of elementwise unions, after broadcasting."""
        shape = np.broadcast_shapes(first.shape, second.shape)
        a, b = first.expand(shape), second.expand(shape)
        if bool((b == NONE).all()):
            return a.clone()
        pairs, inverse = np.unique(
            np.stack([a.reshape(-1).numpy(), b.reshape(-1).numpy()]), axis=1, return_inverse=True
        )
        joined = np.array([self._union(int(x), int(y)) for x, y in pairs.T], dtype=np.int64)
        return torch.from_numpy(joined[inverse.reshape(-1)].reshape(tuple(a.shape)))

    def over(self, labels: Tensor, dims: Sequence[int], *, keep: bool) -> Tensor:
        """Return the labels of unions over dimensions."""
        kept = [d for d in range(labels.dim()) if d not in dims]
        rows = labels.permute([*kept, *dims]).reshape([labels.shape[d] for d in kept] + [-1])
        flat = rows.reshape(-1, rows.shape[-1]).numpy()
        joined = np.array([self.of(row) for row in flat], dtype=np.int64)
        shape = [1 if d in dims else labels.shape[d] for d in range(labels.dim())]
        answer = torch.from_numpy(joined)
        return answer.reshape(shape if keep else [labels.shape[d] for d in kept])

    def of(self, labels: NDArray[np.int64]) -> int:
        """Return the label of the union of all labels."""
        bits = 0
        for label in np.unique(labels):
            bits |= self.bits[int(label)]
        return self.label(bits)

    def members(self, count: int) -> NDArray[np.bool_]:
        """Return which of the first `count` features are in each set, bool [count, sets]."""
        if self._members is None or self._members.shape[1] != len(self.bits):
            width = (max(self.bits).bit_length() + 8) // 8
            packed = b"".join(bits.to_bytes(width, "little") for bits in self.bits)
            rows = np.frombuffer(packed, dtype=np.uint8).reshape(len(self.bits), width)
            unpacked = np.unpackbits(rows, axis=1, bitorder="little")
            self._members = np.ascontiguousarray(unpacked.T.astype(np.bool_))
        missing = max(0, count - len(self._members))
        return np.pad(self._members, ((0, missing), (0, 0)))[:count]

    def _union(self, first: int, second: int) -> int:
        if (first, second) not in self._unions:
            self._unions[first, second] = self.label(self.bits[first] | self.bits[second])
        return self._unions[first, second]


class Dependencies:
    """Labels of every step's row, `[1, *shape]`; lists of labels where it answers a list."""

    def __init__(self, graph: Graph, schema: Schema, *, trusted: bool = True) -> None:
        """With `trusted` off, no rule is used: all that follows an input depends on everything."""
        self._trusted = trusted
        self.sets = FeatureSets()
        self.labels: dict[int, Value] = {}
        self._features: dict[int, int] = {}
        self.unknown: list[Step] = []
        """Steps that no rule covers."""
        for index, labels in zip(graph.inputs, self._of_inputs(schema), strict=True):
            self.labels[index] = labels
        constants = {i: _unlabelled(value) for i, value in graph.constants.items()}
        for step in graph.steps:
            self.labels[step.index] = self._labels(step, constants, graph.constants)

    def _labels(
        self, step: Step, unlabelled: Mapping[int, Value], constants: Mapping[int, Value]
    ) -> Value:
        if step.is_batch_size:
            return 1
        environment = {i: self.labels.get(i, unlabelled.get(i)) for i in step.inputs}
        rule = _rule_of(step) if self._trusted or step.overload == "python" else None
        labels = None
        if rule is not None:
            arguments = list(resolved(step.arguments, environment))
            with suppress(RuntimeError, TypeError, IndexError, ValueError, _NotCovered):
                labels = rule(_Call(step, arguments, self.sets, constants))
        if labels is not None:
            return labels
        if any(isinstance(v, Tensor) for v in environment.values()):
            self.unknown.append(step)
        return _everything(step, list(environment.values()), self.sets)

    def features(self, index: int) -> int:
        """Return the features that reach a step anywhere, as bits."""
        if index not in self._features:
            self._features[index] = self._features_of(index)
        return self._features[index]

    def _features_of(self, index: int) -> int:
        bits = 0
        for labels in tensors_in(self.labels.get(index)):
            for label in np.unique(labels.numpy()):
                bits |= self.sets.bits[int(label)]
        return bits

    def reached(self, index: int, features: Sequence[int]) -> Tensor:
        """Return which elements of a step's row each feature reaches, bool [features, *shape]."""
        labels = tensors_in(self.labels[index])[0]
        table = self.sets.members(max(features) + 1)[list(features)]
        return torch.from_numpy(table[:, labels[0].numpy()])

    def owners(self, index: int, among: int) -> NDArray[np.int64] | None:
        """Return the one feature (among those given as bits) of each element of a step's row.

        -1 marks elements that none of them reaches. None: an element has several.
        """
        labels = self.labels[index]
        if not isinstance(labels, Tensor):
            return None
        return self._owners_of(labels[0].numpy(), among)

    def is_tower(self, index: int, among: int) -> bool:
        """Return whether no element of a step depends on more than one of the features."""
        tensors = tensors_in(self.labels[index])
        return all(self._owners_of(t.reshape(-1).numpy(), among) is not None for t in tensors)

    def _owners_of(self, row: NDArray[np.int64], among: int) -> NDArray[np.int64] | None:
        distinct, inverse = np.unique(row, return_inverse=True)
        owners = [_single(self.sets.bits[int(label)] & among) for label in distinct]
        if any(owner is None for owner in owners):
            return None
        return np.array(owners, dtype=np.int64)[inverse.reshape(-1)].reshape(row.shape)

    def _of_inputs(self, schema: Schema) -> Iterable[Tensor]:
        for spec in schema.inputs:
            labels = torch.zeros((1, *spec.shape), dtype=torch.int64)
            for j, feature in enumerate(schema.features):
                if spec.name in feature.inputs and feature.column is None:
                    labels[...] = self.sets.label(1 << j)
                elif spec.name in feature.inputs:
                    labels[:, feature.column] = self.sets.label(1 << j)
            yield labels


def tensors_in(value: Value) -> list[Tensor]:
    """Return the tensors of a value that may be a list."""
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in tensors_in(v)] if isinstance(value, list | tuple) else []


def _single(bits: int) -> int | None:
    if bits == 0:
        return -1
    return bits.bit_length() - 1 if bits & (bits - 1) == 0 else None


def _unlabelled(value: Value) -> Value:
    if isinstance(value, Tensor):
        return torch.zeros(value.shape, dtype=torch.int64)
    return [_unlabelled(v) for v in value] if isinstance(value, list | tuple) else value


class _NotCovered(Exception):
    """The operator is used in a way that its rule does not cover."""


class _Call:
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
        return tensor(self.arguments[0])

    def option(self, position: int, name: str, default: Any = None) -> Any:
        if len(self.arguments) > position:
            return self.arguments[position]
        return self.step.keywords.get(name, default)


def tensor(value: Value) -> Tensor:
    """Return a value that has to be a tensor."""
    if not isinstance(value, Tensor):
        raise _NotCovered
    return value


def _everything(step: Step, inputs: Sequence[Value], sets: FeatureSets) -> Value:
    tensors = [t for value in inputs for t in tensors_in(value)]
    label = sets.of(np.concatenate([t.reshape(-1).numpy() for t in tensors] or [np.zeros(1)]))
    if step.shape is not None:
        return torch.full((1, *step.shape), label, dtype=torch.int64)
    return _Opaque(label)


class _Opaque(list[Tensor]):
    """Labels of a value without rows of its own: everything taken out of it has the one label."""

    def __init__(self, label: int) -> None:
        super().__init__([torch.tensor([label])])


def _move(call: _Call) -> Value:
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


def _index(call: _Call) -> Value:
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


def _bits(call: _Call) -> Value:
    """Return labels of the same bits seen as elements of another width."""
    if call.step.shape is None:
        return None
    width, wanted = call.first.shape[-1], call.step.shape[-1]
    if wanted % width:
        return None
    return call.first.repeat_interleave(wanted // width, dim=-1)


def _cast(call: _Call) -> Value:
    return call.first.clone()


def _elementwise(call: _Call) -> Value:
    labels = [a for a in call.arguments if isinstance(a, Tensor)]
    if call.step.operator in ("zeros_like", "ones_like", "full_like"):
        return torch.zeros_like(labels[0])
    joined = labels[0]
    for other in labels[1:]:
        joined = call.sets.union(joined, other)
    return joined.clone()


def _reduction(call: _Call) -> Value:
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


def _along(call: _Call) -> Value:
    labels = call.first
    dim = int(call.arguments[1]) % labels.dim()
    return call.sets.over(labels, [dim], keep=True).expand(labels.shape).clone()


def _layer_norm(call: _Call) -> Value:
    labels = call.first
    count = len(call.arguments[1])
    dims = list(range(labels.dim() - count, labels.dim()))
    return call.sets.over(labels, dims, keep=True).expand(labels.shape).clone()


def _linear(call: _Call) -> Value:
    weight = tensor(call.arguments[1])
    if not bool((weight == NONE).all()):
        return None
    joined = call.sets.over(call.first, [call.first.dim() - 1], keep=True)
    return joined.expand(*joined.shape[:-1], len(weight)).clone()


def _matmul(call: _Call) -> Value:
    first, second = tensor(call.arguments[-2]), tensor(call.arguments[-1])
    if call.step.operator in ("addmm", "baddbmm"):
        first, second = tensor(call.arguments[1]), tensor(call.arguments[2])
    if first.dim() < 2 or second.dim() < 2:
        return None
    rows = call.sets.over(first, [first.dim() - 1], keep=True)
    columns = call.sets.over(second, [second.dim() - 2], keep=True)
    joined = call.sets.union(rows, columns)
    return call.sets.union(joined, call.first) if "add" in call.step.operator else joined


def _embedding(call: _Call) -> Value:
    table, ids = tensor(call.arguments[0]), tensor(call.arguments[1])
    if not bool((table == NONE).all()):
        return None
    return ids.unsqueeze(-1).expand(*ids.shape, table.shape[-1]).clone()


_RULES: dict[str, Callable[[_Call], Value]] = {
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


def _rule_of(step: Step) -> Callable[[_Call], Value] | None:
    if step.overload == "python":
        return lambda call: step.target(*call.arguments)
    return _RULES.get(step.operator)
