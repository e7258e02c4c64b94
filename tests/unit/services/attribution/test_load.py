"""Only checkpoints whose rows stand on their own are kept."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.memory_checkpoints import MemoryCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.load import Load, check_rows_independent
from services.attribution.ports import Predictor, Scorer
from tests.checkpoints import SMALL_MODELS, Manifest, small_checkpoint
from tests.unit.services.attribution.predictors import FORMULA, Formula, plain, small_predictor


@dataclass(frozen=True)
class OneCheckpoint:
    """A CheckpointSource with the same checkpoint in every folder."""

    predictor: Predictor

    def read(self, folder: Path) -> Scorer:
        return Scorer(self.predictor, plain(self.predictor))


def price(examples: Examples) -> NDArray[np.float32]:
    return np.asarray(examples.arrays["price"], dtype=np.float32)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_sound_checkpoint_is_kept(name: str) -> None:
    repository = MemoryCheckpoints()
    load = Load(OneCheckpoint(small_predictor(name)), repository)
    scorer = load(Path("anywhere"))
    assert load(Path("anywhere")) is scorer is repository.get("models/ads_ctr/checkpoints/1")


@pytest.mark.parametrize(
    ("leak", "how"),
    [
        (lambda e: price(e) - price(e).mean(), "alone"),
        (lambda e: price(e) + 0.01 * np.arange(e.count, dtype=np.float32), "in another order"),
        (lambda e: np.where(e.count == 1, 0, price(e)).astype(np.float32), "alone"),
        (lambda e: np.cumsum(price(e), dtype=np.float32), "in another order"),
    ],
)
def test_rows_that_influence_each_other_are_refused(leak: object, how: str) -> None:
    repository = MemoryCheckpoints()
    with pytest.raises(CheckpointRefused, match=how):
        Load(OneCheckpoint(Formula(leak)), repository)(Path("anywhere"))  # type: ignore[arg-type]
    assert repository.names() == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda e: np.full(e.count, np.nan),
        lambda e: np.zeros((e.count, 1)),
        lambda e: np.float32(0),
        lambda e: e.arrays["user_embedding"].view(np.float16)[:, 0],
    ],
    ids=["nan", "column", "scalar", "undecoded"],
)
def test_answers_that_are_not_one_finite_number_each_are_refused(answer: object) -> None:
    with pytest.raises(CheckpointRefused, match="B finite numbers"):
        check_rows_independent(Formula(answer))  # type: ignore[arg-type]


def test_a_checkpoint_with_classes_answers_a_logit_for_each(tmp_path: Path) -> None:
    several = replace(FORMULA, classes=("car", "tire", "tree"))

    def as_wide_as(count: int) -> Predictor:
        def answer(examples: Examples) -> NDArray[np.float32]:
            return np.stack([price(examples) * k for k in range(count)], axis=1)

        return Formula(answer, several)

    check_rows_independent(as_wide_as(3))
    with pytest.raises(CheckpointRefused, match="B x 3 finite numbers"):
        check_rows_independent(as_wide_as(2))
    folder = small_checkpoint(tmp_path / "one", manifest=Manifest(changes={"classes": ["a", "b"]}))
    source = FolderCheckpoints([tmp_path], {".pt2": TorchPrograms(plain)})
    with pytest.raises(CheckpointRefused, match="a float for each of the 2 classes"):
        Load(source, MemoryCheckpoints())(folder)
