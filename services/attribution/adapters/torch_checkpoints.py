"""Reads checkpoint folders whose program is a torch.export archive."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

from services.attribution.adapters.json_manifest import Manifest
from services.attribution.adapters.torch_archive import read_program
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.checkpoint import InputSpec
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.ports import Ablator, Scorer

_log = logging.getLogger(__name__)
_LARGEST_MANIFEST = 32 * 1024 * 1024


class TorchCheckpoints:
    """A CheckpointSource over folders under allowed roots."""

    def __init__(
        self, roots: Sequence[Path], compiled: Callable[[TorchPredictor], Ablator]
    ) -> None:
        """Read from under `roots`; `compiled` chooses how a program is ablated."""
        self._roots = [root.resolve() for root in roots]
        self._compiled = compiled

    def read(self, folder: Path) -> Scorer:
        """Read a checkpoint, running no code that it brings along.

        Each file is read once, and what is checked is what is used.
        """
        manifest = Manifest(self._content(folder / "manifest.json", _LARGEST_MANIFEST))
        archive = self._content(folder / manifest.program_file)
        digest = hashlib.sha256(archive).hexdigest()
        if digest != manifest.program_sha256:
            raise CheckpointRefused(
                f"{manifest.program_file} has the SHA-256 {digest}, and manifest.json says "
                f"{manifest.program_sha256} in program.sha256: the file is not the one that was "
                "exported"
            )
        inputs = manifest.checkpoint.schema.inputs
        program = read_program(archive, len(inputs))
        _check_inputs(program, inputs)
        _check_pure(program)
        _log.info("read checkpoint", extra={"checkpoint": manifest.checkpoint.name})
        predictor = TorchPredictor(manifest.checkpoint, program)
        # A compiled program keeps its larger matrices in a second layout too.
        return Scorer(predictor, self._compiled(predictor), size_bytes=2 * len(archive))

    def _content(self, path: Path, largest: int | None = None) -> bytes:
        """Return a file's bytes if it lies, all links followed, under an allowed root."""
        try:
            real = path.resolve()
            if not any(real.is_relative_to(root) for root in self._roots):
                raise CheckpointRefused(
                    f"{path} lies outside the server's allowed roots: put the checkpoint under one "
                    "of its checkpoint_roots"
                )
            if not real.is_file():
                raise CheckpointRefused(f"{path} is not a file")
            if largest is not None and real.stat().st_size > largest:
                raise CheckpointRefused(f"{path} is larger than {largest} bytes")
            return real.read_bytes()
        except OSError as error:
            raise CheckpointRefused(f"{path} cannot be read: {error.strerror}") from error


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
