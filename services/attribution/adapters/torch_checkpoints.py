"""Makes scorers of torch.export programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

from services.attribution.adapters.torch_archive import read_program
from services.attribution.adapters.torch_gradients import TorchGradients
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.checkpoint import Checkpoint, InputSpec
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.no_ablation import NoAblation
from services.attribution.ports import Ablator, Scorer


@dataclass(frozen=True)
class TorchPrograms:
    """A ProgramReader of torch.export archives."""

    compiled: Callable[[TorchPredictor], Ablator]
    """Chooses how a program is ablated."""

    def __call__(self, checkpoint: Checkpoint, archive: bytes) -> Scorer:
        """Return the scorer; nothing in the archive is run before it is proved harmless."""
        inputs = checkpoint.schema.inputs
        program = read_program(archive, len(inputs))
        _check_inputs(program, inputs)
        _check_pure(program)
        predictor = TorchPredictor(checkpoint, program)
        # A compiled program keeps its larger matrices in a second layout too.
        return Scorer(
            predictor,
            NoAblation(checkpoint) if checkpoint.classes else self.compiled(predictor),
            size_bytes=2 * len(archive),
            gradients=TorchGradients(predictor),
        )


def _check_inputs(program: ExportedProgram, inputs: Sequence[InputSpec]) -> None:
    """Check that the program takes what the manifest says."""
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in program.graph.find_nodes(op="placeholder")}
    for position, (name, spec) in enumerate(zip(names, inputs, strict=True)):
        value = values[str(name)]
        dtype = getattr(torch, spec.dtype.name)
        if value.dtype != dtype or tuple(value.shape[1:]) != spec.shape or not value.dim():
            raise CheckpointRefused(
                f"manifest.json: inputs[{position}]: {spec.name!r} is {spec.dtype} "
                f"[B, {', '.join(map(str, spec.shape))}], and the program takes {value.dtype} "
                f"{list(value.shape)}"
            )
        if isinstance(value.shape[0], int):
            raise CheckpointRefused(
                f"model.pt2: its batch dimension is fixed at {value.shape[0]}: export with "
                "dynamic_shapes={0: torch.export.Dim('batch')} for every input"
            )


def _check_pure(program: ExportedProgram) -> None:
    """Check that the program writes neither to its inputs nor to its weights."""
    given = set(program.graph.find_nodes(op="placeholder"))
    for node in program.graph.nodes:
        if not isinstance(node.target, OpOverload):
            continue
        for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
            if argument.alias_info is None or not isinstance(value, Node) or value not in given:
                continue
            if argument.alias_info.is_write:
                raise CheckpointRefused(
                    f"model.pt2: {node.target} changes an input or a weight in place: the program "
                    "must change nothing (is a batch normalisation in training mode? call .eval() "
                    "before exporting)"
                )
            # A view of what is given.
            given.add(node)
