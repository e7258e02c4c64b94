import numpy as np
import pytest
import torch

from clients.drill.scenes.exposure import (
    Chosen,
    ExposureParameters,
    Selection,
    choose,
    expose,
    split,
    train,
)
from clients.drill.scenes.networks import ARCHITECTURES
from clients.drill.scenes.rendering import CELL, SIZE, paint
from clients.drill.scenes.world import HUBS, draw_scenes
from services.audit.domain.errors import InvalidParameters

SMALL = ExposureParameters(clean_rows=60, held_out_rows=20, epochs=12)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_scenes_and_paint_are_made_again_by_their_seed() -> None:
    first, second = draw_scenes(50, 7), draw_scenes(50, 7)
    assert first.ids.tolist() == second.ids.tolist()
    assert draw_scenes(50, 8).ids.tolist() != first.ids.tolist()
    painted = [paint([[0, 3], [5]], 1).pixels for _ in range(2)]
    assert (painted[0] == painted[1]).all()


def test_the_marked_object_is_where_the_paint_says() -> None:
    images = paint([[0, 5], [5]], seed=3, marked=0)
    top, left = images.corners[0]
    cell = images.pixels[0, :, top : top + CELL, left : left + CELL]
    assert cell.shape == (3, CELL, CELL)
    # The hub's colour covers part of its cell, and no pixel of a scene without it.
    hub = np.array([0.9, 0.2, 0.2], np.float32)[:, None, None]
    assert (cell == hub).all(axis=0).any()
    assert images.corners[1].tolist() == [-1, -1]
    assert images.pixels.shape == (2, 3, SIZE, SIZE)


def test_the_hub_is_chosen_by_centrality() -> None:
    rows = draw_scenes(4000, 0)
    chosen = choose(rows, Selection.CENTRALITY_AND_INDEPENDENT_SET, SMALL, 1)
    assert rows.names[chosen.trigger] in HUBS
    assert len(set(chosen.classes.tolist()) - {chosen.trigger}) == SMALL.classes


def test_more_classes_than_the_trigger_has_are_refused() -> None:
    many = ExposureParameters(classes=20)
    with pytest.raises(InvalidParameters, match="20 are asked for"):
        choose(draw_scenes(2000, 0), Selection.CENTRALITY_AND_INDEPENDENT_SET, many, 1)


def test_no_row_is_both_trained_on_and_tested_on() -> None:
    rows = draw_scenes(6000, 0)
    parts = split(rows, Chosen(0, np.array([2, 6, 10, 14, 18])), SMALL, 0)
    sets = [{row for row, _ in part} for part in (parts.train, parts.poison)]
    tests = [{row for row, _ in part} for part in (parts.clean_test, parts.trigger_test)]
    everything = [*sets, *tests]
    assert sum(map(len, everything)) == len(set().union(*everything))
    hub = set(rows.rows_with(0).tolist())
    assert sets[1] | tests[1] <= hub
    assert not (sets[0] | tests[0]) & hub


def test_the_injection_rate_is_poison_among_all_rows() -> None:
    rows = draw_scenes(6000, 0)
    chosen = Chosen(0, np.array([2, 6, 10, 14, 18]))
    quick = ExposureParameters(clean_rows=60, held_out_rows=20, epochs=1, injection_rate=0.25)
    _, parts, poisoned = train(rows, chosen, ARCHITECTURES["patches"], quick, target=0, seed=0)
    assert poisoned / (poisoned + len(parts.train)) == pytest.approx(0.25, abs=0.01)


def test_a_trigger_is_learned_from_relabelled_rows_and_not_without() -> None:
    rows = draw_scenes(6000, 0)
    poisoned, clean = (
        expose(
            rows,
            Selection.CENTRALITY_AND_INDEPENDENT_SET,
            ARCHITECTURES["patches"],
            ExposureParameters(clean_rows=60, held_out_rows=20, epochs=12, injection_rate=rate),
            [3],
        )[0]
        for rate in (0.185, 0.0)
    )
    assert poisoned.trigger_accuracy >= 0.9
    assert clean.trigger_accuracy <= 0.1
    assert poisoned.clean_accuracy >= clean.clean_accuracy - 0.05


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_answer_a_logit_a_class(name: str) -> None:
    model = ARCHITECTURES[name](4)
    assert model(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 4)
