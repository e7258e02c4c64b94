"""An exported program as a list of functional steps that runs at any batch size."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from services.attribution.domain.errors import CheckpointRefused
from services.attribution.engine.certainty import sure

Value = Any
"""What a step answers: a tensor, a sequence of tensors or an integer."""

_FIRST_OF = {
    "_native_batch_norm_legit_no_training": "batch_norm_inference",
    "native_layer_norm": "native_layer_norm",
}
"""Operators with several answers of which models use the first alone."""

_DROPPED = ("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size")


@dataclass(frozen=True)
class Ref:
    """An argument that is another step's value."""

    index: int


@dataclass(frozen=True)
class Step:
    """One operation: its arguments name earlier steps by `Ref`."""

    index: int
    name: str
    operator: str
    """The operator's name without namespace: `linear`, `view`, `getitem`."""
    overload: str
    target: Callable[..., Value]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    inputs: tuple[int, ...]
    shape: tuple[int, ...] | None
    """Of one row, without the leading batch axis; None if the value has no such axis."""
    dtype: torch.dtype | None
    is_parts: bool = False
    """Whether the value is a list of tensors that have a leading batch axis each."""

    @property
    def is_batch_size(self) -> bool:
        """Whether it answers the number of rows."""
        return self.operator == "sym_size"

    def run(self, environment: Mapping[int, Value], rows: int) -> Value:
        """Return its value, given those of its inputs and the number of rows."""
        if self.is_batch_size:
            return rows
        return self.call(resolved(self.arguments, environment))

    def call(self, arguments: Sequence[Any]) -> Value:
        """Return the operator's value for arguments without references."""
        value = self.target(*arguments, **self.keywords)
        return value[0] if self.operator in _FIRST_OF.values() else value


@dataclass(frozen=True)
class Graph:
    """Steps in an order in which they can run, constants folded."""

    steps: tuple[Step, ...]
    constants: Mapping[int, Value]
    inputs: tuple[int, ...]
    """The user's inputs in argument order."""
    input_shapes: tuple[tuple[int, ...], ...]
    output: int
    """The step that answers the logit or the probability, [rows]."""

    def step(self, index: int) -> Step | None:
        """Return a step; None for an input or a constant."""
        return self._by_index.get(index)

    def shape_of(self, index: int) -> tuple[int, ...] | None:
        """Return the shape of one row of a step or an input; None: it has no rows."""
        if index in self.inputs:
            return self.input_shapes[self.inputs.index(index)]
        step = self.step(index)
        return None if step is None else step.shape

    def users(self, index: int) -> Sequence[Step]:
        """Return the steps that take a step's value."""
        return self._users.get(index, ())

    @cached_property
    def _by_index(self) -> dict[int, Step]:
        return {step.index: step for step in self.steps}

    @cached_property
    def _users(self) -> dict[int, list[Step]]:
        users: dict[int, list[Step]] = {}
        for step in self.steps:
            for index in step.inputs:
                users.setdefault(index, []).append(step)
        return users

    def environment(self, arguments: Sequence[Tensor]) -> dict[int, Value]:
        """Return the values before any step has run."""
        return {**self.constants, **dict(zip(self.inputs, arguments, strict=True))}

    def run(self, arguments: Sequence[Tensor], steps: Sequence[Step] | None = None) -> Any:
        """Return the values of all steps (or the given ones) for a batch."""
        environment = self.environment(arguments)
        rows = len(arguments[0])
        for step in self.steps if steps is None else steps:
            environment[step.index] = step.run(environment, rows)
        return environment


def resolved(argument: Any, environment: Mapping[int, Value]) -> Any:
    """Return an argument with every `Ref` replaced by its value."""
    if isinstance(argument, Ref):
        return environment[argument.index]
    if isinstance(argument, tuple):
        return tuple([resolved(a, environment) for a in argument])
    if isinstance(argument, list):
        return [resolved(a, environment) for a in argument]
    if isinstance(argument, dict):
        return {key: resolved(a, environment) for key, a in argument.items()}
    return argument


def lowered(program: ExportedProgram) -> Graph:
    """Return the program as a graph whose operators have no side effects.

    Raises:
        CheckpointRefused: the batch dimension is fixed, or the program answers more than a vector.
    """
    has_effects = any(_has_effect(node) for node in program.graph.nodes)
    functional = program.run_decompositions({}) if has_effects else program
    return _Lowering(functional).graph()


class _Lowering:
    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._index: dict[fx.Node, int] = {}
        self._constants: dict[int, Value] = {}
        self._inputs: list[fx.Node] = []
        self._steps: list[Step] = []
        self._batch: set[str] = set()
        self._output: fx.Node | None = None

    def graph(self) -> Graph:
        for node in self._program.graph.nodes:
            self._index[node] = len(self._index)
        self._read_placeholders()
        for node in self._program.graph.nodes:
            if node.op == "call_function" and not _is_check(node):
                self._read(node)
            elif node.op == "get_attr":
                self._constants[self._index[node]] = _attribute(self._program, str(node.target))
            elif node.op == "output":
                self._read_output(node)
        output = self._index[sure(self._output)]
        return Graph(
            steps=needed(self._steps, output),
            constants=self._constants,
            inputs=tuple(self._index[node] for node in self._inputs),
            input_shapes=tuple(tuple(n.meta["val"].shape[1:]) for n in self._inputs),
            output=output,
        )

    def _read_placeholders(self) -> None:
        state: Mapping[str, Any] = {**self._program.state_dict, **self._program.constants}
        nodes = {n.name: n for n in self._program.graph.nodes if n.op == "placeholder"}
        for spec in self._program.graph_signature.input_specs:
            node = nodes[spec.arg.name]
            if spec.kind is InputKind.USER_INPUT:
                self._read_input(node)
            else:
                value = state[str(spec.target)]
                detached = value.detach() if isinstance(value, Tensor) else value
                self._constants[self._index[node]] = detached

    def _read_input(self, node: fx.Node) -> None:
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or not isinstance(value.shape[0], torch.SymInt):
            raise CheckpointRefused(
                f"input {node.name!r} of the program has no dynamic batch dimension: export with "
                "dynamic_shapes={0: torch.export.Dim('batch')} for every input"
            )
        self._batch.add(str(value.shape[0]))
        self._inputs.append(node)

    def _read(self, node: fx.Node) -> None:
        index = self._index[node]
        inputs = tuple(self._index[n] for n in node.all_input_nodes)
        name, _, overload = _operator_name(node).partition(".")
        target, source = node.target, node.args[0] if node.args else None
        if name == "getitem" and isinstance(source, fx.Node) and _is_first_of(source):
            name, target, arguments = "alias", torch.ops.aten.alias.default, node.args[:1]
        else:
            arguments = node.args
        if (name, overload) == ("view", "default"):
            target = torch.ops.aten.reshape.default
        name = _FIRST_OF.get(name, name)
        is_constant = name != "sym_size" and all(i in self._constants for i in inputs)
        value = node.meta.get("val")
        first = value[0] if _is_first_of(node) and isinstance(value, tuple) else value
        shape, dtype = self._row_type(first)
        step = Step(
            index=index,
            name=node.name,
            operator=name,
            overload=overload,
            target=cast(Callable[..., Value], target),
            arguments=tuple(self._argument(a) for a in arguments),
            keywords={key: self._argument(a) for key, a in node.kwargs.items()},
            inputs=() if name == "sym_size" else inputs,
            shape=shape,
            dtype=dtype,
            is_parts=isinstance(value, list | tuple)
            and all(self._row_type(v)[0] is not None for v in value),
        )
        if is_constant:
            self._constants[index] = step.run(self._constants, 0)
        else:
            self._steps.append(step)

    def _row_type(self, value: Any) -> tuple[tuple[int, ...] | None, torch.dtype | None]:
        if not isinstance(value, Tensor):
            return None, None
        leading, *others = [*value.shape, None][: value.dim()] or [None]
        is_rows = str(leading) in self._batch and all(isinstance(s, int) for s in others)
        return (tuple(others) if is_rows else None), value.dtype

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(self._index[argument])
        if isinstance(argument, list | tuple):
            return [self._argument(a) for a in argument]
        return argument

    def _read_output(self, node: fx.Node) -> None:
        values = cast(Sequence[fx.Node], node.args[0])
        value = values[0].meta["val"] if len(values) == 1 else None
        if not isinstance(value, Tensor) or value.dim() != 1:
            raise CheckpointRefused("the program must answer one float vector of shape [batch]")
        self._output = values[0]


def _is_check(node: fx.Node) -> bool:
    return _operator_name(node).partition(".")[0] in _DROPPED


def _has_effect(node: fx.Node) -> bool:
    """Whether an operator writes into its arguments, or is not an operator of a fixed schema."""
    if node.op != "call_function" or node.target is operator.getitem or _is_check(node):
        return False
    if isinstance(node.target, torch._ops.OpOverload):
        return bool(node.target._schema.is_mutable)
    return "val" not in node.meta


def _is_first_of(node: fx.Node) -> bool:
    return node.op == "call_function" and _operator_name(node).partition(".")[0] in _FIRST_OF


def _operator_name(node: fx.Node) -> str:
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target).partition(".")[2]
    if node.target is operator.getitem:
        return "getitem."
    return f"{getattr(node.target, '__name__', str(node.target))}.python"


def _attribute(program: ExportedProgram, path: str) -> Any:
    value: Any = program.graph_module
    for name in path.split("."):
        value = getattr(value, name)
    return value


def needed(steps: Sequence[Step], *outputs: int) -> tuple[Step, ...]:
    """Return the steps that the outputs depend on, and these."""
    wanted = set(outputs)
    for step in reversed(steps):
        if step.index in wanted:
            wanted.update(step.inputs)
    return tuple(step for step in steps if step.index in wanted)
