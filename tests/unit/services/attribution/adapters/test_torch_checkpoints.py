"""Folders: where they may lie, what they must hold, and that both files agree."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.checkpoint import Feature, FeatureKind, InputSpec, Output, Schema
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.load import check_rows_independent
from services.attribution.ports import Scorer
from tests.checkpoints import (
    SCHEMA,
    SMALL_MODELS,
    Manifest,
    random_examples,
    save_checkpoint,
    small_checkpoint,
    small_model,
    write_manifest,
)
from tests.unit.services.attribution.predictors import plain

ONE = Schema(
    (InputSpec("dense", np.dtype(np.float32), (2,)),),
    (
        Feature("age", FeatureKind.NUMERIC, "dense", column=0),
        Feature("hour", FeatureKind.NUMERIC, "dense", column=1),
    ),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def read(root: Path, folder: Path) -> Scorer:
    return FolderCheckpoints([root], {".pt2": TorchPrograms(plain)}).read(folder)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_checkpoint_scores_as_its_module_does(root: Path, name: str) -> None:
    predictor = read(root, small_checkpoint(root / name, name)).predictor
    examples = random_examples(count=33, seed=2)
    with torch.no_grad():
        answer = small_model(name)(*[torch.from_numpy(a) for a in examples.arguments()])
    expected = answer if predictor.checkpoint.output is Output.LOGIT else torch.logit(answer)
    assert predictor.logits(examples) == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_folder_outside_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "elsewhere")
    with pytest.raises(CheckpointRefused, match="outside the server's allowed roots"):
        read(root, folder)
    with pytest.raises(CheckpointRefused, match="outside the server's allowed roots"):
        read(root, root / ".." / "elsewhere")


def test_links_do_not_lead_out_of_the_roots(root: Path, tmp_path: Path) -> None:
    folder = small_checkpoint(tmp_path / "elsewhere")
    (root / "link").symlink_to(folder)
    with pytest.raises(CheckpointRefused, match="outside"):
        read(root, root / "link")
    (root / "half").mkdir()
    (root / "half" / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    (root / "half" / "model.pt2").symlink_to(folder / "model.pt2")
    with pytest.raises(CheckpointRefused, match="outside"):
        read(root, root / "half")


def test_a_link_within_the_roots_is_followed(root: Path) -> None:
    small_checkpoint(root / "2026-11-20")
    (root / "latest").symlink_to(root / "2026-11-20")
    assert read(root, root / "latest").checkpoint.version == "1"


def test_without_roots_nothing_is_read(root: Path) -> None:
    folder = small_checkpoint(root / "a")
    with pytest.raises(CheckpointRefused, match="outside"):
        FolderCheckpoints([], {".pt2": TorchPrograms(plain)}).read(folder)


@pytest.mark.parametrize("name", ["manifest.json", "model.pt2"])
def test_a_missing_file_is_named(root: Path, name: str) -> None:
    folder = small_checkpoint(root / "a")
    (folder / name).unlink()
    with pytest.raises(CheckpointRefused, match=f"{name} is not a file"):
        read(root, folder)


def test_another_program_than_the_manifests_is_refused(root: Path) -> None:
    folder = small_checkpoint(root / "a")
    program = bytearray((folder / "model.pt2").read_bytes())
    program[2000] ^= 1
    (folder / "model.pt2").write_bytes(program)
    with pytest.raises(CheckpointRefused, match="SHA-256"):
        read(root, folder)


def test_a_program_that_is_damaged_with_its_digest_is_refused(root: Path) -> None:
    folder = small_checkpoint(root / "a")
    program = (folder / "model.pt2").read_bytes()
    (folder / "model.pt2").write_bytes(program[: len(program) // 2])
    write_manifest(folder, SCHEMA, Manifest())
    with pytest.raises(CheckpointRefused, match="corrupt or truncated"):
        read(root, folder)


def test_inputs_that_the_program_does_not_take_are_refused(root: Path) -> None:
    folder = small_checkpoint(root / "a")
    wider = tuple(
        InputSpec(i.name, i.dtype, (7,)) if i.name == "genres" else i for i in SCHEMA.inputs
    )
    write_manifest(folder, Schema(wider, SCHEMA.features), Manifest())
    with pytest.raises(CheckpointRefused, match=r"inputs\[4\]: 'genres' is int64 \[B, 7\]"):
        read(root, folder)


class Doubler(nn.Module):
    def forward(self, dense: Tensor) -> Tensor:
        return dense.sum(dim=1) * 2


def test_a_fixed_batch_dimension_is_refused(root: Path) -> None:
    folder = save_checkpoint(root / "a", Doubler(), ONE)
    program = torch.export.export(Doubler(), (torch.zeros(4, 2),))
    torch.export.save(program, folder / "model.pt2")
    write_manifest(folder, ONE, Manifest())
    with pytest.raises(CheckpointRefused, match="batch dimension is fixed at 4"):
        read(root, folder)


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, dense: Tensor) -> Tensor:
        normed: Tensor = self.norm(dense)
        return normed.sum(dim=1)


class Centred(nn.Module):
    def forward(self, dense: Tensor) -> Tensor:
        return (dense - dense.mean(dim=0, keepdim=True)).sum(dim=1)


def test_batch_statistics_are_refused(root: Path) -> None:
    with pytest.raises(CheckpointRefused, match="training mode"):
        read(root, save_checkpoint(root / "a", Normalised(), ONE))
    scorer = read(root, save_checkpoint(root / "b", Centred(), ONE))
    with pytest.raises(CheckpointRefused, match="must not influence each other"):
        check_rows_independent(scorer.predictor)
    check_rows_independent(
        read(root, save_checkpoint(root / "c", Normalised().eval(), ONE)).predictor
    )


class Greedy(nn.Module):
    def forward(self, dense: Tensor) -> Tensor:
        first = dense[:, 0]
        first.add_(1)
        return first * 2


class Thrifty(nn.Module):
    def forward(self, dense: Tensor) -> Tensor:
        doubled = dense * 2
        doubled.relu_()
        return doubled.sum(dim=1)


def test_a_program_may_write_to_what_it_made_itself_only(root: Path) -> None:
    with pytest.raises(CheckpointRefused, match=r"aten\.add_.*in place"):
        read(root, save_checkpoint(root / "a", Greedy(), ONE))
    read(root, save_checkpoint(root / "b", Thrifty(), ONE))


class Certain(nn.Module):
    def forward(self, dense: Tensor) -> Tensor:
        return dense[:, 0].clamp(-1, 2)


def test_certain_probabilities_have_logits_and_impossible_ones_have_none(root: Path) -> None:
    folder = save_checkpoint(root / "a", Certain(), ONE, Manifest(output=Output.PROBABILITY))
    examples = random_examples(ONE, 4)
    examples.arrays["dense"][:, 0] = np.array([0.0, 1.0, 0.5, 1.5], np.float32)
    logits = read(root, folder).predictor.logits(examples)
    assert logits == pytest.approx([-87.34, 16.64, 0.0, np.nan], abs=0.01, nan_ok=True)
