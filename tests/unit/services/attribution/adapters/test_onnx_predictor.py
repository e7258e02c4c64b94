"""An ONNX model against the same model in torch, and what is refused of one."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.memory_checkpoints import MemoryCheckpoints
from services.attribution.adapters.onnx_predictor import OnnxPrograms
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.checkpoint import Feature, FeatureKind, InputSpec, Schema
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.engine.compiler import compiled
from services.attribution.load import Load
from services.attribution.ports import Scorer
from tests.checkpoints import Manifest, random_examples, save_checkpoint, write_manifest

SCHEMA = Schema(
    inputs=(
        InputSpec("dense", np.dtype(np.float32), (3,)),
        InputSpec("categories", np.dtype(np.int64), (2,)),
    ),
    features=(
        *(Feature(f"n{j}", FeatureKind.NUMERIC, "dense", column=j) for j in range(3)),
        *(
            Feature(f"c{j}", FeatureKind.CATEGORICAL, "categories", column=j, cardinality=5)
            for j in range(2)
        ),
    ),
)


class Clicks(nn.Module):
    """Numbers and two embeddings side by side into an MLP."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(5, 4)
        self.first = nn.Linear(11, 16)
        self.last = nn.Linear(16, 1)

    def forward(self, dense: Tensor, categories: Tensor) -> Tensor:
        side = torch.cat([dense, self.table(categories).flatten(1)], dim=1)
        answer: Tensor = self.last(torch.relu(self.first(side))).squeeze(-1)
        return answer


def onnx_model(module: Clicks, batch: str | int = "batch", dense: str = "dense") -> bytes:
    """The same model, written node by node."""
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    weights["shape"] = np.array([-1, 8], dtype=np.int64)
    nodes = [
        helper.make_node("Gather", ["table.weight", "categories"], ["vectors"]),
        helper.make_node("Reshape", ["vectors", "shape"], ["flat"]),
        helper.make_node("Concat", [dense, "flat"], ["side"], axis=1),
        helper.make_node("Gemm", ["side", "first.weight", "first.bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "last.weight", "last.bias"], ["logit"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "clicks",
        [
            helper.make_tensor_value_info(dense, TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info("categories", TensorProto.INT64, [batch, 2]),
        ],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [batch, 1])],
        [numpy_helper.from_array(np.array(value), name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def checkpoint(root: Path, model: bytes) -> Path:
    folder = root / "onnx"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    (folder / "model.pt2").write_bytes(b"")
    program = {"file": "model.onnx", "sha256": hashlib.sha256(model).hexdigest()}
    write_manifest(folder, SCHEMA, Manifest(changes={"program": program}))
    return folder


def read(root: Path, model: bytes) -> Scorer:
    source = FolderCheckpoints([root], {".onnx": OnnxPrograms(threads=1, block_examples=128)})
    return source.read(checkpoint(root, model))


def test_it_agrees_with_the_same_model_in_torch(tmp_path: Path) -> None:
    module = Clicks()
    programs = TorchPrograms(lambda p: compiled(p.program, p.checkpoint))
    torch_source = FolderCheckpoints([tmp_path], {".pt2": programs})
    torch_scorer = torch_source.read(save_checkpoint(tmp_path / "torch", module, SCHEMA))
    scorer = read(tmp_path, onnx_model(module))
    examples = random_examples(SCHEMA, 200, seed=4, absent=0.5)
    expected = torch_scorer.predictor.logits(examples)
    assert scorer.predictor.logits(examples) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    ours, theirs = scorer.ablator.ablate(examples), torch_scorer.ablator.ablate(examples)
    assert ours.dense() == pytest.approx(theirs.dense(), abs=1e-5)
    assert np.array_equal(ours.offsets, theirs.offsets)


def test_it_loads_like_any_checkpoint(tmp_path: Path) -> None:
    model = onnx_model(Clicks())
    source = FolderCheckpoints([tmp_path], {".onnx": OnnxPrograms(1, 128)})
    scorer = Load(source, MemoryCheckpoints(len(model)))(checkpoint(tmp_path, model))
    assert scorer.size_bytes == len(model)
    (route,) = scorer.ablator.explanation.routes
    assert route.fallbacks[0].operator == "OnnxPredictor"


def test_a_server_without_the_extra_says_what_it_reads(tmp_path: Path) -> None:
    source = FolderCheckpoints([tmp_path], {})
    with pytest.raises(CheckpointRefused, match=r"model\.onnx: .* extra"):
        source.read(checkpoint(tmp_path, onnx_model(Clicks())))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (b"nonsense", "does not load"),
        (onnx_model(Clicks(), batch=7), "fixed at 7"),
        (onnx_model(Clicks(), dense="numbers"), "the program takes"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, model: bytes, why: str) -> None:
    with pytest.raises(CheckpointRefused, match=why):
        read(tmp_path, model)


def test_weights_in_other_files_are_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = onnx.load_from_string(onnx_model(Clicks()))
    onnx.save_model(
        model,
        str(tmp_path / "outside.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(CheckpointRefused, match="does not load"):
        read(tmp_path, (tmp_path / "outside.onnx").read_bytes())
