"""The generated ads world: equal by seed, seasonal, chosen by its model, learning from it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from clients.drill.ads.features import CARDINALITY, SHARES, small_settings
from clients.drill.ads.learning import Learner
from clients.drill.ads.population import HOURS_A_DAY, AdsSettings, Population, is_weekend
from clients.drill.ads.world import USER, AdsWorld
from clients.drill.corruptions import Constant
from clients.drill.encoding import Encoder
from clients.drill.export import load_checkpoint
from clients.drill.plain_model import PlainClickModel
from clients.drill.schema import FeatureKind

torch.set_num_threads(1)
WORLD = AdsWorld(small_settings())
EVENING, NIGHT = 20, 4


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner.warmed_up(WORLD, HOURS_A_DAY)


def test_equal_seeds_make_equal_hours() -> None:
    again = AdsWorld(small_settings())
    for hour in (3, 200):
        one, other = WORLD.play(hour), again.play(hour)
        assert one.examples.equals(other.examples)
        assert (one.clicked == other.clicked).all()
    assert not AdsWorld(small_settings(seed=1)).play(3).examples.equals(WORLD.play(3).examples)
    assert not WORLD.play(4).examples.equals(WORLD.play(3).examples)


@pytest.mark.parametrize("count", [6, 24, 200, 1000])
def test_there_are_as_many_features_as_asked_for_of_all_kinds(count: int) -> None:
    world = AdsWorld(AdsSettings(features=count, users=50, ads=20, requests=4))
    assert len(world.schema.features) == len(set(world.schema.names())) == count
    assert {feature.kind for feature in world.schema.features} == set(FeatureKind)
    played = world.play(0)
    Encoder(world.schema)(played.examples)
    assert played.examples.column_names == [*world.schema.names(), USER]


def test_fewer_features_than_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=f"{len(SHARES)} kinds"):
        _ = AdsWorld(AdsSettings(features=5)).schema


def test_values_lie_where_the_schema_says() -> None:
    for feature in WORLD.schema.of_kind(FeatureKind.CATEGORICAL):
        ids = WORLD.play(1).examples[feature.name].drop_null().to_numpy()
        assert (ids > 0).all()
        assert feature.cardinality is not None
        assert ids.max() < feature.cardinality <= CARDINALITY


def test_each_request_displays_the_models_best() -> None:
    candidates, displayed = WORLD.settings.candidates, WORLD.settings.displayed
    scores = np.random.default_rng(0).random(10_000).astype(np.float32)

    def score(examples: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return scores[: examples.num_rows]

    played = WORLD.play(9, score)
    shown = played.displayed.reshape(-1, candidates)
    given = scores[: shown.size].reshape(-1, candidates)
    assert (shown.sum(axis=1) == displayed).all()
    assert (np.where(shown, given, 2).min(axis=1) >= np.where(shown, -1, given).max(axis=1)).all()
    assert not (played.clicked & ~played.displayed).any()
    users = played.examples[USER].to_numpy().reshape(-1, candidates)
    assert (users == users[:, :1]).all()


def test_hours_and_weekdays_differ_and_only_with_seasonality() -> None:
    population = Population(AdsSettings())
    assert population.volume(EVENING) > 1.9 * population.volume(NIGHT)
    assert population.volume(EVENING) > population.volume(EVENING + 5 * HOURS_A_DAY)
    assert is_weekend(5 * HOURS_A_DAY)
    assert not is_weekend(5 * HOURS_A_DAY - 1)
    assert np.abs(population.awake(EVENING) - population.awake(NIGHT)).sum() > 0.5
    flat = Population(AdsSettings(seasonality=0.0))
    assert flat.volume(EVENING) == flat.volume(NIGHT + 5 * HOURS_A_DAY)
    assert flat.awake(EVENING) == pytest.approx(flat.awake(NIGHT))


def test_a_fault_changes_what_is_displayed(learner: Learner) -> None:
    name = WORLD.schema.names(FeatureKind.CATEGORICAL)[0]
    healthy = WORLD.play(30, learner.score)
    broken = WORLD.play(30, learner.score, Constant(name))
    assert broken.examples[name].to_pylist() == [1] * broken.examples.num_rows
    assert broken.examples.drop_columns([name]).equals(healthy.examples.drop_columns([name]))
    assert (broken.displayed != healthy.displayed).any()


def test_learning_is_deterministic_and_makes_better_choices(learner: Learner) -> None:
    again = Learner.warmed_up(WORLD, HOURS_A_DAY)
    hours = list(again.live(HOURS_A_DAY))
    assert [hour.number for hour in hours] == list(range(HOURS_A_DAY, 2 * HOURS_A_DAY))
    twice = Learner.warmed_up(WORLD, HOURS_A_DAY)
    assert [h.clicked.sum() for h in twice.live(3)] == [h.clicked.sum() for h in hours[:3]]
    at_random = sum(WORLD.play(hour.number).clicked.sum() for hour in hours)
    assert sum(hour.clicked.sum() for hour in hours) > 1.05 * at_random


def test_without_learning_the_model_stays(learner: Learner) -> None:
    examples = WORLD.play(40).examples
    before = learner.score(examples)
    assert len(list(learner.live(2, learns=False))) == 2
    assert (learner.score(examples) == before).all()


@pytest.mark.parametrize("normalised", [False, True])
def test_the_checkpoint_scores_as_the_model_does(normalised: bool, tmp_path: Path) -> None:
    learner = Learner.warmed_up(WORLD, 2, normalised)
    checkpoint = load_checkpoint(learner.export(tmp_path))
    assert checkpoint.schema == WORLD.schema
    examples = WORLD.play(30).examples
    with torch.no_grad():
        logits = checkpoint.program(*Encoder(checkpoint.schema)(examples))
    assert torch.sigmoid(logits).numpy() == pytest.approx(learner.score(examples), abs=1e-6)


def test_normalisation_holds_long_vectors() -> None:
    """With it, a vector a thousand times as long says no more than one ten times as long."""
    torch.manual_seed(0)
    dense = torch.zeros(len(WORLD.schema.of_kind(FeatureKind.NUMERIC)))
    moves = []
    for normalised in (False, True):
        model = PlainClickModel(WORLD.schema, dense, dense + 1, normalised=normalised).eval()
        inputs = list(Encoder(WORLD.schema)(WORLD.play(3).examples))
        place = [i.name for i in WORLD.schema.inputs].index(
            WORLD.schema.names(FeatureKind.EMBEDDING)[0]
        )
        with torch.no_grad():
            logits = []
            for factor in (10.0, 1000.0):
                longer = [t * factor if p == place else t for p, t in enumerate(inputs)]
                logits.append(model(*longer))
        moves.append(float((logits[1] - logits[0]).abs().max()))
    assert moves[1] < 0.05 < moves[0]
