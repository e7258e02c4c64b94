"""Scores examples with an ONNX model, on the CPU."""

from dataclasses import dataclass
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.attribution.domain.checkpoint import Checkpoint, Schema
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.domain.logit import logits_of
from services.attribution.no_ablation import NoAblation
from services.attribution.plain_ablation import PlainAblation
from services.attribution.ports import Scorer

_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class OnnxPrograms:
    """A ProgramReader of ONNX models. Custom operators and weights in other files are refused."""

    threads: int
    """Of one run."""
    block_examples: int
    """Rows of one run."""

    def __call__(self, checkpoint: Checkpoint, model: bytes) -> Scorer:
        """Return the scorer."""
        predictor = OnnxPredictor(checkpoint, model, self.threads)
        ablator = (
            NoAblation(checkpoint)
            if checkpoint.classes
            else PlainAblation(predictor, self.block_examples)
        )
        return Scorer(predictor, ablator, len(model))


class OnnxPredictor:
    """An ONNX model and the checkpoint that it belongs to.

    Its inputs have the names in the schema; its first output is `[B]`, `[B, 1]`, or the
    probabilities of two classes `[B, 2]`; with classes, their logits `[B, C]`.
    """

    def __init__(self, checkpoint: Checkpoint, model: bytes, threads: int = 1) -> None:
        """Read the model.

        Raises:
            CheckpointRefused: it does not load, or does not take the schema's inputs.
        """
        self.checkpoint = checkpoint
        self._session = _session(model, threads)
        _check_inputs(self._session, checkpoint.schema)

    def logits(self, examples: Examples) -> NDArray[np.floating]:
        """Return the logit of each example, [N], or of each class, [N, C].

        Raises:
            CheckpointRefused: the model fails on these examples.
        """
        given = {name: np.ascontiguousarray(a) for name, a in examples.arrays.items()}
        try:
            answer = self._session.run([self._session.get_outputs()[0].name], given)[0]
        except Exception as error:
            # ONNX Runtime's exceptions have no public base but this.
            raise CheckpointRefused(
                f"the program fails on {examples.count} examples of its own schema: {error}"
            ) from error
        return logits_of(np.asarray(answer), self.checkpoint)


def _session(model: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        with TemporaryDirectory() as nothing:
            # Weights that the model keeps in other files are looked for where there are none.
            folder = "session.model_external_initializers_file_folder_path"
            options.add_session_config_entry(folder, nothing)
            return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointRefused(
            f"model.onnx does not load with ONNX Runtime {ort.__version__}: {error}"
        ) from error


def _check_inputs(session: ort.InferenceSession, schema: Schema) -> None:
    """Check that the model takes what the manifest says."""
    taken = {node.name: node for node in session.get_inputs()}
    if set(taken) != set(schema.input_index):
        raise CheckpointRefused(
            f"manifest.json: inputs: the program takes {sorted(taken)}, and the manifest names "
            f"{sorted(schema.input_index)}: they must be the same"
        )
    for position, spec in enumerate(schema.inputs):
        node = taken[spec.name]
        if node.type != _TYPES[spec.dtype.name] or tuple(node.shape[1:]) != spec.shape:
            raise CheckpointRefused(
                f"manifest.json: inputs[{position}]: {spec.name!r} is {spec.dtype} "
                f"[B, {', '.join(map(str, spec.shape))}], and the program takes {node.type} "
                f"{node.shape}"
            )
        if isinstance(node.shape[0], int):
            raise CheckpointRefused(
                f"model.onnx: its batch dimension is fixed at {node.shape[0]}: export with a "
                "dynamic first axis for every input"
            )
